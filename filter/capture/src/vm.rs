//! The root contexts and outboxes of one VM.
//!
//! On a live update the same VM is configured again while the old root context lives on until its
//! listener has drained. So the outboxes belong to the VM, one for each collector, and only the active
//! root context sends: the one configured last.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::config::{Config, InvalidUser, Problems, Rules, UserSource};
use crate::host::{CollectorResponse, Dispatch, Host, Level};
use crate::now::Now;
use crate::outbox::{Destination, Outbox};
use crate::redact::HashKey;
use crate::shared::SharedState;

/// The state of one worker thread of the proxy.
#[derive(Debug)]
pub struct Vm<H> {
    host: H,
    shared: Rc<SharedState>,
    outboxes: RefCell<Vec<Rc<RefCell<Outbox>>>>,
    /// Configured root contexts; the last one is active.
    roots: RefCell<Vec<u32>>,
}

/// A compiled configuration in use.
#[derive(Debug)]
pub struct Plugin {
    pub(crate) rules: Rules,
    pub(crate) user: Vec<UserSource>,
    pub(crate) invalid_user: InvalidUser,
    pub(crate) hash_key: Option<HashKey>,
    /// The workload of the proxy, or the proxy's own name.
    pub(crate) workload: Option<String>,
    pub(crate) outbox: Rc<RefCell<Outbox>>,
    pub(crate) shared: Rc<SharedState>,
    tick_period: Duration,
}

impl Plugin {
    /// Without the defaults.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// The interval at which the host must call [`Vm::tick`].
    #[must_use]
    pub const fn tick_period(&self) -> Duration {
        self.tick_period
    }
}

impl<H: Host> Vm<H> {
    /// Without any root context yet.
    pub fn new(host: H) -> Self {
        Self {
            host,
            shared: Rc::new(SharedState::new(0)),
            outboxes: RefCell::default(),
            roots: RefCell::default(),
        }
    }

    /// The host that [`Self::new`] was given.
    pub const fn host(&self) -> &H {
        &self.host
    }

    /// Configures a root context and makes it the active one. None if the configuration is rejected: then
    /// every problem is logged.
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
                    let line = format!("dossier: configuration rejected: {line}");
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
            invalid_user,
            rules,
            ..
        } = config;
        let authorization = token.map(|token| format!("Bearer {token}"));
        // Frequent enough that batches are sent soon after their delay, rare enough to cost nothing.
        let tick_period =
            (batch.max_delay / 5).clamp(Duration::from_millis(10), Duration::from_millis(50));
        self.shared.budget.set_limit(buffer_bytes);
        let outbox = self.find_or_create_outbox(Rc::new(Destination {
            collector,
            authorization,
            batch,
        }));
        let shared = Rc::clone(&self.shared);
        Ok(Rc::new(Plugin {
            rules,
            user,
            invalid_user,
            hash_key,
            workload,
            outbox,
            shared,
            tick_period,
        }))
    }

    fn find_or_create_outbox(&self, destination: Rc<Destination>) -> Rc<RefCell<Outbox>> {
        let mut outboxes = self.outboxes.borrow_mut();
        let same = outboxes.iter().find(|outbox| {
            outbox
                .borrow()
                .destination()
                .is_same_collector(&destination)
        });
        if let Some(outbox) = same {
            outbox.borrow_mut().set_destination(destination);
            return Rc::clone(outbox);
        }
        let outbox = Rc::new(RefCell::new(Outbox::new(
            Rc::clone(&self.shared),
            destination,
        )));
        outboxes.push(Rc::clone(&outbox));
        outbox
    }

    /// Seals and sends batches that are due. Does nothing unless the root context is the active one.
    pub fn tick(&self, root: u32, dispatch: &impl Dispatch) {
        if !self.is_active_root(root) {
            return;
        }
        let now = Now::new(&self.host);
        let outboxes = self.outboxes.borrow().clone();
        for outbox in &outboxes {
            outbox.borrow_mut().tick(&self.host, &now);
            self.send(outbox, &now, dispatch);
        }
        // An idle outbox that no configuration uses is one of a former collector.
        drop(outboxes);
        self.outboxes
            .borrow_mut()
            .retain(|outbox| Rc::strong_count(outbox) > 1 || !outbox.borrow().is_idle());
        self.flush();
    }

    /// Handles the end of a call that a root context made.
    pub fn handle_response(
        &self,
        root: u32,
        token: u32,
        response: CollectorResponse,
        dispatch: &impl Dispatch,
    ) {
        let now = Now::new(&self.host);
        let outboxes = self.outboxes.borrow().clone();
        for outbox in &outboxes {
            outbox
                .borrow_mut()
                .handle_response(&self.host, &now, token, response);
            if self.is_active_root(root) {
                self.send(outbox, &now, dispatch);
            }
        }
    }

    /// Removes a root context; the previous one becomes active, if there is one.
    pub fn remove_root(&self, root: u32) {
        let mut roots = self.roots.borrow_mut();
        roots.retain(|known| *known != root);
        if !roots.is_empty() {
            return;
        }
        let held: u64 = self
            .outboxes
            .borrow()
            .iter()
            .map(|outbox| outbox.borrow().unacknowledged_records())
            .sum();
        if held > 0 {
            let line = format!("dossier: the VM ends with {held} records not yet acknowledged");
            self.host.log(Level::Warn, &line);
        }
        self.flush();
        // The gauge is shared with other VMs, and this VM's memory is freed.
        self.shared.metrics.flush(&self.host, 0);
    }

    fn is_active_root(&self, root: u32) -> bool {
        self.roots.borrow().last() == Some(&root)
    }

    fn send(&self, outbox: &RefCell<Outbox>, now: &Now<'_>, dispatch: &impl Dispatch) {
        loop {
            // No borrow may be held while the call is made.
            let Some(sealed) = outbox.borrow_mut().next_batch(now) else {
                return;
            };
            let destination = Rc::clone(outbox.borrow().destination());
            let token = dispatch.send(&destination.request(&sealed));
            outbox
                .borrow_mut()
                .record_call(&self.host, now, sealed, token);
        }
    }

    fn flush(&self) {
        self.shared
            .metrics
            .flush(&self.host, self.shared.budget.used());
        self.shared.warnings.flush(&self.host);
    }
}

#[cfg(test)]
mod tests;
