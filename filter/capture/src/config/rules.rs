//! The table that says how an exchange is recorded: the route's own metadata before the first rule
//! that matches, before the defaults. Everything that can be merged beforehand is.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::capture::Keys;
use super::matcher::{Matcher, Subject};
use super::plan::Plan;
use super::reader::{Node, Problems};
use super::route_metadata;

/// The compiled table.
#[derive(Debug)]
pub struct Rules {
    table: Vec<Rule>,
    defaults: Rule,
    has_hash_key: bool,
    ask_for_route: bool,
    record_all: bool,
    overrides: RefCell<Overrides>,
}

/// One rule, or the defaults, which match everything.
#[derive(Debug)]
struct Rule {
    matcher: Matcher,
    keys: Keys,
    plan: Rc<Plan>,
}

/// Route metadata seen so far, by its bytes: a route's never change, and decoding them for each
/// request would cost more than all the rest.
type Overrides = BTreeMap<Box<[u8]>, Override>;

#[derive(Debug)]
struct Override {
    says: Says,
    /// The merged plans, by the number of the rule that lies beneath.
    plans: BTreeMap<usize, Rc<Plan>>,
}

/// What a route's metadata says to us.
#[derive(Debug)]
enum Says {
    Nothing,
    Keys(Box<Keys>),
    /// Something that cannot be understood.
    Nonsense,
}

const MAX_RULES: usize = 1000;
/// Far more than a proxy has routes with keys of ours; beyond it the cache starts anew.
const MAX_OVERRIDES: usize = 256;

impl Rules {
    pub(super) fn read(
        routes: Option<&Node<'_>>,
        defaults: Option<&Node<'_>>,
        has_hash_key: bool,
    ) -> Self {
        let keys = defaults.map(|node| {
            let keys = Keys::read(node);
            keys.check(node, has_hash_key);
            keys
        });
        let keys = keys.unwrap_or_default();
        let table = routes.and_then(|node| {
            node.each(MAX_RULES, "rules", |node| {
                Rule::read(node, &keys, has_hash_key)
            })
        });
        let plan = Rc::new(keys.plan(None));
        let defaults = Rule {
            matcher: Matcher::default(),
            keys,
            plan,
        };
        let table: Vec<Rule> = table.unwrap_or_default();
        let record_all =
            table.iter().all(|rule| rule.plan.records_all()) && defaults.plan.records_all();
        Self {
            ask_for_route: table.iter().any(|rule| rule.matcher.asks_for_route()),
            record_all,
            table,
            defaults,
            has_hash_key,
            overrides: RefCell::default(),
        }
    }

    /// How many rules there are, the defaults not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are only the defaults.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether the name of Envoy's route decides anything; to ask for it has its price.
    #[must_use]
    pub const fn ask_for_route(&self) -> bool {
        self.ask_for_route
    }

    /// Whether every exchange is recorded, unless its route says otherwise: then all that the proxy
    /// knows of it is needed anyway.
    #[must_use]
    pub const fn record_all(&self) -> bool {
        self.record_all
    }

    /// The plan for an exchange. Faults of the route's metadata go to `tell`, once for each distinct
    /// metadata, and of the exchange then only the bare facts are recorded.
    pub fn plan(
        &self,
        subject: &Subject<'_>,
        route_metadata: Option<&[u8]>,
        tell: impl FnOnce(&Problems),
    ) -> Rc<Plan> {
        let number = self
            .table
            .iter()
            .position(|rule| rule.matcher.matches(subject));
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
            let says = match route_metadata::read(bytes, self.has_hash_key) {
                Ok(None) => Says::Nothing,
                Ok(Some(keys)) => Says::Keys(Box::new(keys)),
                Err(problems) => {
                    tell(&problems);
                    Says::Nonsense
                }
            };
            let plans = BTreeMap::new();
            overrides.insert(bytes.into(), Override { says, plans });
        }
        let Some(Override { says, plans }) = overrides.get_mut(bytes) else {
            return Rc::clone(&rule.plan);
        };
        let plan = match says {
            Says::Nothing => return Rc::clone(&rule.plan),
            Says::Keys(keys) => plans.entry(number).or_insert_with(|| {
                let keys = keys.over(&rule.keys);
                Rc::new(keys.plan(rule.matcher.template()))
            }),
            Says::Nonsense => plans
                .entry(number)
                .or_insert_with(|| Rc::new(rule.plan.to_bare())),
        };
        Rc::clone(plan)
    }
}

impl Rule {
    fn read(node: &Node<'_>, defaults: &Keys, has_hash_key: bool) -> Option<Self> {
        let object = node.object("match and capture")?;
        let matcher = object
            .require(
                "match",
                "an object with route, host, path, methods or headers",
            )
            .and_then(|node| Matcher::read(&node));
        let keys = object
            .require("capture", "an object with capture keys")
            .map(|node| {
                let keys = Keys::read(&node).over(defaults);
                keys.check(&node, has_hash_key);
                keys
            });
        object.refuse_unknown();
        let (matcher, keys) = (matcher?, keys?);
        let plan = Rc::new(keys.plan(matcher.template()));
        Some(Self {
            matcher,
            keys,
            plan,
        })
    }
}
