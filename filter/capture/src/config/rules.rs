//! Chooses the plan of an exchange: the route's own metadata overrides the first rule that matches,
//! which overrides the defaults. Everything that can be merged in advance is.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::capture_keys::CaptureKeys;
use super::matcher::{Matcher, RequestView};
use super::plan::CapturePlan;
use super::reader::{ConfigNode, Problems};
use super::route_metadata;

mod idle;

pub use idle::{IdleReason, IdleRule};

/// The compiled `routes` and `defaults`.
#[derive(Debug)]
pub struct Rules {
    table: Vec<Rule>,
    defaults: Rule,
    has_hash_key: bool,
    needs_route_name: bool,
    records_everything: bool,
    overrides: RefCell<Overrides>,
}

/// A rule, or the defaults, which match everything.
#[derive(Debug)]
struct Rule {
    matcher: Matcher,
    /// What a route's own keys override.
    keys: CaptureKeys,
    plan: Rc<CapturePlan>,
}

/// Decoded route metadata by its bytes: a route's metadata never changes, and decoding it for each
/// request would cost more than everything else.
type Overrides = BTreeMap<Box<[u8]>, CachedOverride>;

#[derive(Debug)]
struct CachedOverride {
    parsed: RouteOverride,
    /// Merged plans by the number of the rule that is overridden.
    plans: BTreeMap<usize, Rc<CapturePlan>>,
}

/// A route's metadata, decoded.
#[derive(Debug)]
enum RouteOverride {
    Absent,
    Keys(Box<CaptureKeys>),
    Invalid,
}

const MAX_RULES: usize = 1000;
/// Far more than a proxy has routes with own keys; at this size the cache is cleared.
const MAX_OVERRIDES: usize = 256;

impl Rules {
    pub(super) fn read(
        routes: Option<&ConfigNode<'_>>,
        defaults: Option<&ConfigNode<'_>>,
        has_hash_key: bool,
    ) -> Self {
        let keys = defaults.map(|node| {
            let keys = CaptureKeys::read(node);
            keys.check(node, has_hash_key);
            keys
        });
        let keys = keys.unwrap_or_default();
        let plan = Rc::new(keys.compile_plan(None));
        let keys = keys.to_inherited();
        let table = routes.and_then(|node| {
            node.read_each(MAX_RULES, "rules", |node| {
                Rule::read(node, &keys, has_hash_key)
            })
        });
        let defaults = Rule {
            matcher: Matcher::default(),
            keys,
            plan,
        };
        let table: Vec<Rule> = table.unwrap_or_default();
        let records_everything = table.iter().all(|rule| rule.plan.records_everything())
            && defaults.plan.records_everything();
        Self {
            needs_route_name: table.iter().any(|rule| rule.matcher.needs_route_name()),
            records_everything,
            table,
            defaults,
            has_hash_key,
            overrides: RefCell::default(),
        }
    }

    /// Without the defaults.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are only defaults.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether a rule matches the name of Envoy's route, which costs a hostcall.
    #[must_use]
    pub const fn needs_route_name(&self) -> bool {
        self.needs_route_name
    }

    /// Whether every exchange is recorded, unless its route overrides that: then all its headers are
    /// needed.
    #[must_use]
    pub const fn records_everything(&self) -> bool {
        self.records_everything
    }

    /// Chooses the plan of an exchange. Invalid route metadata is passed to `report` once, and only the
    /// minimum of its exchanges is recorded.
    pub fn choose_plan(
        &self,
        request: &RequestView<'_>,
        route_metadata: Option<&[u8]>,
        report: impl FnOnce(&Problems),
    ) -> Rc<CapturePlan> {
        let number = self
            .table
            .iter()
            .position(|rule| rule.matcher.matches(request));
        let number = number.unwrap_or(self.table.len());
        let rule = self.table.get(number).unwrap_or(&self.defaults);
        let Some(bytes) = route_metadata.filter(|bytes| !bytes.is_empty()) else {
            return Rc::clone(&rule.plan);
        };
        let mut overrides = self.overrides.borrow_mut();
        if !overrides.contains_key(bytes) {
            if overrides.len() >= MAX_OVERRIDES {
                overrides.clear();
            }
            let parsed = match route_metadata::read_keys(bytes, self.has_hash_key) {
                Ok(None) => RouteOverride::Absent,
                Ok(Some(keys)) => RouteOverride::Keys(Box::new(keys)),
                Err(problems) => {
                    report(&problems);
                    RouteOverride::Invalid
                }
            };
            let plans = BTreeMap::new();
            overrides.insert(bytes.into(), CachedOverride { parsed, plans });
        }
        let Some(CachedOverride { parsed, plans }) = overrides.get_mut(bytes) else {
            return Rc::clone(&rule.plan);
        };
        let plan = match parsed {
            RouteOverride::Absent => return Rc::clone(&rule.plan),
            RouteOverride::Keys(keys) => plans.entry(number).or_insert_with(|| {
                let keys = keys.merged_over(&rule.keys);
                Rc::new(keys.compile_plan(rule.matcher.template()))
            }),
            RouteOverride::Invalid => plans
                .entry(number)
                .or_insert_with(|| Rc::new(rule.plan.to_minimal())),
        };
        Rc::clone(plan)
    }
}

impl Rule {
    fn read(node: &ConfigNode<'_>, defaults: &CaptureKeys, has_hash_key: bool) -> Option<Self> {
        let object = node.as_object("match and capture")?;
        let matcher = object
            .require(
                "match",
                "an object with route, host, path, methods or headers",
            )
            .and_then(|node| Matcher::read(&node));
        let capture = object.get("capture");
        let keys = capture.as_ref().map(CaptureKeys::read).unwrap_or_default();
        let keys = keys.merged_over(defaults);
        if let Some(node) = capture {
            keys.check(&node, has_hash_key);
        }
        object.reject_unknown();
        let matcher = matcher?;
        let plan = Rc::new(keys.compile_plan(matcher.template()));
        Some(Self {
            matcher,
            keys,
            plan,
        })
    }
}
