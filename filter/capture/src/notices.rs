//! Warnings, at most one of a kind in a while: a collector that is away must not fill the proxy's
//! log. They are gathered here and written when no state is borrowed.

use std::cell::RefCell;

use crate::host::{Host, Level};

/// What a warning is about. Each kind has its own limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The collector cannot be reached, or asks to wait.
    Unreachable,
    /// The collector refuses the filter: wrong token or path.
    Misconfigured,
    /// The collector refused a batch.
    BatchRefused,
    /// Records or bodies were lost for want of room.
    BufferFull,
    /// A route's metadata is wrong.
    RouteMetadata,
}

const QUIET_MICROS: u64 = 30_000_000;

/// Warnings to be written, and when the last of each kind was.
#[derive(Debug, Default)]
pub(crate) struct Notices(RefCell<State>);

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    seen: Vec<Seen>,
}

#[derive(Debug)]
struct Seen {
    kind: Kind,
    at: u64,
    kept_quiet: u64,
}

impl Notices {
    /// Warns, unless the same kind did a short while ago.
    pub(crate) fn warn(&self, kind: Kind, steady_now: u64, line: impl FnOnce() -> String) {
        let mut state = self.0.borrow_mut();
        let State { lines, seen } = &mut *state;
        match seen.iter_mut().find(|seen| seen.kind == kind) {
            Some(seen) if steady_now < seen.at.saturating_add(QUIET_MICROS) => seen.kept_quiet += 1,
            Some(seen) => {
                let more = std::mem::take(&mut seen.kept_quiet);
                seen.at = steady_now;
                lines.push(match more {
                    0 => line(),
                    more => format!("{} ({more} more like it since the last)", line()),
                });
            }
            None => {
                seen.push(Seen {
                    kind,
                    at: steady_now,
                    kept_quiet: 0,
                });
                lines.push(line());
            }
        }
    }

    /// Writes what was gathered.
    pub(crate) fn flush(&self, host: &impl Host) {
        let lines = std::mem::take(&mut self.0.borrow_mut().lines);
        for line in lines {
            host.log(Level::Warn, &format!("dossier: {line}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeHost;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_same_kind_warns_once_in_a_while() {
        let (host, notices) = (FakeHost::new(), Notices::default());
        for second in 0..31 {
            notices.warn(Kind::Unreachable, second * 1_000_000, || {
                format!("second {second}")
            });
        }
        notices.warn(Kind::BufferFull, 0, || "full".to_owned());
        notices.flush(&host);
        assert_eq!(
            *host.lines.borrow(),
            [
                "dossier: second 0",
                "dossier: second 30 (29 more like it since the last)",
                "dossier: full"
            ]
        );
    }
}
