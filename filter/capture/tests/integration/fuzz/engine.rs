//! Mutates valid inputs and runs a target on them.
//!
//! A seed and the number of an iteration give the same input everywhere: to reproduce a failure, set
//! `DOSSIER_FUZZ_SEED` and `DOSSIER_FUZZ_ITERATION` to the printed values. The input is saved in
//! `target/fuzz/`, in hexadecimal.

use std::io::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs, process};

/// Of inputs.
pub(crate) const MAX_INPUT_BYTES: usize = 64 << 10;
/// A longer attempt is considered to hang.
const MAX_ATTEMPT: Duration = Duration::from_secs(5);
const MAX_MUTATIONS: usize = 10;
const SECONDS: u64 = 2;
const SEED: u64 = 1;

/// `SplitMix64`: the same numbers for the same seed, on every machine.
pub(crate) struct Random(u64);

/// What to fuzz, and with which inputs.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Valid inputs.
    pub(crate) seeds: Vec<Vec<u8>>,
    /// Byte strings with a meaning in such inputs.
    pub(crate) tokens: &'static [&'static [u8]],
}

/// How long to fuzz, and from where.
struct Settings {
    time: Duration,
    seed: u64,
    only: Option<u64>,
}

/// The running attempt, for the watchdog.
#[derive(Default)]
struct Progress {
    iteration: AtomicU64,
    since: Mutex<Option<Instant>>,
    input: Mutex<Vec<u8>>,
}

impl Random {
    fn new(seed: u64, iteration: u64) -> Self {
        let mut random = Self(seed);
        let start = random.next();
        Self(start ^ iteration)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    pub(crate) fn pick<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.below(items.len())]
    }

    fn range(&mut self, length: usize) -> Range<usize> {
        let start = self.below(length + 1);
        start..start + self.below(length - start + 1)
    }
}

impl Settings {
    fn read() -> Self {
        let number = |name: &str| {
            let text = env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name}: no number")))
        };
        Self {
            time: Duration::from_secs(number("DOSSIER_FUZZ_SECONDS").unwrap_or(SECONDS)),
            seed: number("DOSSIER_FUZZ_SEED").unwrap_or(SEED),
            only: number("DOSSIER_FUZZ_ITERATION"),
        }
    }
}

impl Target {
    /// Runs attempts until the time is over. Random numbers that `attempt` draws also depend on the
    /// iteration.
    pub(crate) fn run(&self, attempt: impl Fn(&[u8], &mut Random)) {
        let settings = Settings::read();
        let progress = Arc::new(Progress::default());
        let (running, ended) = channel::<()>();
        let watch = {
            let (name, seed, progress) = (self.name, settings.seed, Arc::clone(&progress));
            thread::spawn(move || watch(name, seed, &progress, &ended))
        };
        let start = Instant::now();
        let mut iteration = settings.only.unwrap_or(0);
        loop {
            self.try_one(settings.seed, iteration, &progress, &attempt);
            iteration += 1;
            if settings.only.is_some() || start.elapsed() >= settings.time {
                break;
            }
        }
        drop(running);
        watch.join().unwrap();
        print_uncaptured(&format!("fuzz {}: {iteration} inputs", self.name));
    }

    fn try_one(
        &self,
        seed: u64,
        iteration: u64,
        progress: &Progress,
        attempt: &impl Fn(&[u8], &mut Random),
    ) {
        let mut random = Random::new(seed, iteration);
        let input = self.input(&mut random);
        progress.input.lock().unwrap().clone_from(&input);
        progress.iteration.store(iteration, Ordering::Relaxed);
        *progress.since.lock().unwrap() = Some(Instant::now());
        let outcome = catch_unwind(AssertUnwindSafe(|| attempt(&input, &mut random)));
        *progress.since.lock().unwrap() = None;
        if outcome.is_err() {
            let path = save_input(self.name, seed, iteration, &input);
            panic!(
                "{}: seed {seed}, iteration {iteration} fails; the input is in {}",
                self.name,
                path.display()
            );
        }
    }

    fn input(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = random.pick(&self.seeds).clone();
        for _ in 0..random.below(MAX_MUTATIONS) {
            self.mutate(&mut bytes, random);
            bytes.truncate(MAX_INPUT_BYTES);
        }
        bytes
    }

    fn mutate(&self, bytes: &mut Vec<u8>, random: &mut Random) {
        let place = random.range(bytes.len());
        match random.below(9) {
            0 if !bytes.is_empty() => {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            1 if !bytes.is_empty() => {
                let at = random.below(bytes.len());
                bytes[at] = u8::try_from(random.below(256)).unwrap();
            }
            2 => {
                let other = random.pick(&self.seeds);
                let piece = other[random.range(other.len())].to_vec();
                bytes.splice(place, piece);
            }
            3 => bytes.truncate(place.end),
            4 => drop(bytes.drain(place)),
            5 => {
                // Long inputs come from here; not all of them are long.
                let times = 1 + (random.below(1 << 14) >> random.below(14));
                let piece = &bytes[place.clone()];
                let times = times.min(MAX_INPUT_BYTES / piece.len().max(1));
                let piece = piece.repeat(times);
                bytes.splice(place.start..place.start, piece);
            }
            6 => {
                let piece = bytes[place].to_vec();
                let at = random.below(bytes.len() + 1);
                bytes.splice(at..at, piece);
            }
            7 => write_length(bytes, random),
            _ => {
                let token = random.pick(self.tokens).to_vec();
                // Replaces something in half of the cases, and is inserted in the others.
                let end = if random.below(2) == 0 {
                    place.start
                } else {
                    place.end
                };
                bytes.splice(place.start..end, token);
            }
        }
    }
}

/// Writes a length that is right, nearly right or far too large, in one of the usual encodings.
fn write_length(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let left = u32::try_from(bytes.len() - at).unwrap();
    let any = u32::try_from(random.below(1 << 20)).unwrap();
    let length = *random.pick(&[
        0,
        1,
        left,
        left.saturating_sub(4),
        left.saturating_sub(5),
        left + 1,
        any,
        0x7fff_ffff,
        u32::MAX,
    ]);
    let form: Vec<u8> = match random.below(3) {
        0 => length.to_le_bytes().into(),
        1 => length.to_be_bytes().into(),
        _ => {
            let mut form = Vec::new();
            prost::encode_length_delimiter(length as usize, &mut form).unwrap();
            form
        }
    };
    let end = bytes.len().min(at + form.len());
    bytes.splice(at..end, form);
}

/// Ends the process if an attempt hangs: nothing else can end its thread.
fn watch(name: &str, seed: u64, progress: &Progress, ended: &Receiver<()>) {
    while ended.recv_timeout(Duration::from_millis(200)) == Err(RecvTimeoutError::Timeout) {
        let since = *progress.since.lock().unwrap();
        if since.is_some_and(|since| since.elapsed() > MAX_ATTEMPT) {
            let iteration = progress.iteration.load(Ordering::Relaxed);
            let path = save_input(name, seed, iteration, &progress.input.lock().unwrap());
            print_uncaptured(&format!(
                "{name}: seed {seed}, iteration {iteration} takes longer than {MAX_ATTEMPT:?}; the input is in {}",
                path.display()
            ));
            process::exit(101);
        }
    }
}

/// Prints to stderr, which the test runner does not capture.
fn print_uncaptured(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Saves an input and returns its path.
fn save_input(name: &str, seed: u64, iteration: u64, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("fuzz");
    let file = folder.join(format!("{name}-{seed}-{iteration}.hex"));
    let hex: Vec<_> = input.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::create_dir_all(&folder).unwrap();
    fs::write(&file, hex.concat()).unwrap();
    file
}

#[test]
fn inputs_are_reproducible() {
    let target = Target {
        name: "engine",
        seeds: vec![b"some seed".to_vec(), b"another".to_vec()],
        tokens: &[b"token"],
    };
    let input = |seed, iteration| target.input(&mut Random::new(seed, iteration));
    let inputs: Vec<_> = (0..1000).map(|iteration| input(7, iteration)).collect();
    for (iteration, bytes) in (0..).zip(&inputs) {
        assert!(bytes.len() <= MAX_INPUT_BYTES);
        assert_eq!(*bytes, input(7, iteration));
    }
    assert!(inputs.iter().any(|bytes| bytes.len() > MAX_INPUT_BYTES / 2));
    let same = (0..1000).filter(|iteration| input(8, *iteration) == inputs[0]);
    assert!(same.count() < 100);
}
