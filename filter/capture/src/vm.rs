//! What all streams and configurations of one VM share, and who of them does the sending.
//!
//! On a live update the same VM is configured again while the old root context lives on until its
//! listener has drained. So the outboxes belong to the VM, one for each collector, and only one root
//! context sends: the one configured last.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use uuid::Uuid;

use crate::allowance::Allowance;
use crate::budget::Budget;
use crate::config::{Config, Problems, Rules, UserSource};
use crate::host::{Dispatch, Host, Level};
use crate::ids::Ids;
use crate::notices::Notices;
use crate::outbox::{Answer, Now, Outbox, Target};
use crate::redact::HashKey;
use crate::stats::Stats;

/// One VM: one worker thread of the proxy.
#[derive(Debug)]
pub struct Vm<H> {
    host: H,
    shared: Rc<Shared>,
    outboxes: RefCell<Vec<Rc<RefCell<Outbox>>>>,
    /// Configured root contexts, the newest last.
    roots: RefCell<Vec<u32>>,
}

/// A configuration in use.
#[derive(Debug)]
pub struct Plugin {
    pub(crate) rules: Rules,
    pub(crate) user: Vec<UserSource>,
    pub(crate) hash_key: Option<HashKey>,
    /// The workload that the proxy stands beside, or the proxy's own name.
    pub(crate) workload: Option<String>,
    pub(crate) outbox: Rc<RefCell<Outbox>>,
    pub(crate) shared: Rc<Shared>,
    tick_period: Duration,
}

/// What everything in the VM leans on.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) budget: Rc<Budget>,
    pub(crate) allowance: Allowance,
    pub(crate) stats: Stats,
    pub(crate) notices: Notices,
    /// Whether the exchange that began last is recorded.
    pub(crate) recorded_last: Cell<bool>,
    ids: RefCell<Ids>,
}

impl Shared {
    pub(crate) fn new(budget_bytes: usize) -> Self {
        Self {
            budget: Rc::new(Budget::new(budget_bytes)),
            allowance: Allowance::default(),
            stats: Stats::default(),
            notices: Notices::default(),
            recorded_last: Cell::default(),
            ids: RefCell::default(),
        }
    }

    pub(crate) fn uuid(&self, host: &impl Host, wall_micros: u64) -> Uuid {
        self.ids.borrow_mut().uuid(host, wall_micros)
    }

    pub(crate) fn below(&self, host: &impl Host, bound: u64) -> u64 {
        self.ids.borrow_mut().below(host, bound)
    }
}

impl Plugin {
    /// How many rules the configuration has.
    #[must_use]
    pub fn routes(&self) -> usize {
        self.rules.len()
    }

    /// How often the root context wants to be woken.
    #[must_use]
    pub const fn tick_period(&self) -> Duration {
        self.tick_period
    }
}

impl<H: Host> Vm<H> {
    /// A VM without any configuration.
    pub fn new(host: H) -> Self {
        Self {
            host,
            shared: Rc::new(Shared::new(0)),
            outboxes: RefCell::default(),
            roots: RefCell::default(),
        }
    }

    /// The proxy.
    pub const fn host(&self) -> &H {
        &self.host
    }

    /// Configures a root context, which sends from now on. Every fault is logged; none: refused.
    /// `workload` is what the proxy stands beside, for the records.
    pub fn configure(
        &self,
        root: u32,
        configuration: &[u8],
        environment: impl Fn(&str) -> Option<String>,
        workload: Option<String>,
    ) -> Option<Rc<Plugin>> {
        match self.try_configure(configuration, environment, workload) {
            Ok(plugin) => {
                let mut roots = self.roots.borrow_mut();
                roots.retain(|known| *known != root);
                roots.push(root);
                Some(plugin)
            }
            Err(problems) => {
                for line in problems.lines() {
                    let line = format!("dossier: configuration refused: {line}");
                    self.host.log(Level::Error, &line);
                }
                None
            }
        }
    }

    fn try_configure(
        &self,
        configuration: &[u8],
        environment: impl Fn(&str) -> Option<String>,
        workload: Option<String>,
    ) -> Result<Rc<Plugin>, Problems> {
        let config = Config::parse(configuration)?;
        let token = config.collector.resolve_token(&environment)?;
        let hash_key = config.resolve_hash_key(&environment)?;
        let Config {
            collector,
            batch,
            buffer_bytes,
            user,
            rules,
            ..
        } = config;
        let authorization = token.map(|token| format!("Bearer {token}"));
        // Often enough that a batch leaves soon after its delay and few pile up, seldom enough to cost nothing.
        let tick_period =
            (batch.max_delay / 5).clamp(Duration::from_millis(10), Duration::from_millis(50));
        self.shared.budget.set_limit(buffer_bytes);
        let outbox = self.outbox(Rc::new(Target {
            collector,
            authorization,
            batch,
        }));
        let shared = Rc::clone(&self.shared);
        Ok(Rc::new(Plugin {
            rules,
            user,
            hash_key,
            workload,
            outbox,
            shared,
            tick_period,
        }))
    }

    fn outbox(&self, target: Rc<Target>) -> Rc<RefCell<Outbox>> {
        let mut outboxes = self.outboxes.borrow_mut();
        let same = outboxes
            .iter()
            .find(|outbox| outbox.borrow().target().same_destination(&target));
        if let Some(outbox) = same {
            outbox.borrow_mut().set_target(target);
            return Rc::clone(outbox);
        }
        let outbox = Rc::new(RefCell::new(Outbox::new(Rc::clone(&self.shared), target)));
        outboxes.push(Rc::clone(&outbox));
        outbox
    }

    /// A root context was woken.
    pub fn tick(&self, root: u32, dispatch: &impl Dispatch) {
        if !self.leads(root) {
            return;
        }
        let now = Now::of(&self.host);
        let outboxes = self.outboxes.borrow().clone();
        for outbox in &outboxes {
            outbox.borrow_mut().tick(&self.host, &now);
            self.send(outbox, &now, dispatch);
        }
        // Dropped here, held by no configuration and empty: an outbox of an old collector.
        drop(outboxes);
        self.outboxes
            .borrow_mut()
            .retain(|outbox| Rc::strong_count(outbox) > 1 || !outbox.borrow().is_idle());
        self.flush();
    }

    /// A call made by a root context has ended.
    pub fn answered(&self, root: u32, token: u32, answer: Answer, dispatch: &impl Dispatch) {
        let now = Now::of(&self.host);
        let outboxes = self.outboxes.borrow().clone();
        for outbox in &outboxes {
            outbox
                .borrow_mut()
                .answered(&self.host, &now, token, answer);
            if self.leads(root) {
                self.send(outbox, &now, dispatch);
            }
        }
    }

    /// A root context is done; another sends from now on, if there is one.
    pub fn retire(&self, root: u32) {
        let mut roots = self.roots.borrow_mut();
        roots.retain(|known| *known != root);
        if !roots.is_empty() {
            return;
        }
        let held: u64 = self
            .outboxes
            .borrow()
            .iter()
            .map(|outbox| outbox.borrow().records_held())
            .sum();
        if held > 0 {
            let line = format!("dossier: the VM ends with {held} records not yet acknowledged");
            self.host.log(Level::Warn, &line);
        }
        self.flush();
        // What the VM held goes with it, and the gauge is shared with the other VMs.
        self.shared.stats.flush(&self.host, 0);
    }

    fn leads(&self, root: u32) -> bool {
        self.roots.borrow().last() == Some(&root)
    }

    fn send(&self, outbox: &RefCell<Outbox>, now: &Now<'_>, dispatch: &impl Dispatch) {
        loop {
            // No borrow may be held while the call is made.
            let Some(sealed) = outbox.borrow_mut().next(now) else {
                return;
            };
            let target = Rc::clone(outbox.borrow().target());
            let token = dispatch.post(&target.post(&sealed));
            outbox.borrow_mut().began(&self.host, now, sealed, token);
        }
    }

    fn flush(&self) {
        self.shared
            .stats
            .flush(&self.host, self.shared.budget.held());
        self.shared.notices.flush(&self.host);
    }
}

#[cfg(test)]
mod tests;
