//! The table that says how an exchange is recorded: the route's own metadata before the first rule
//! that matches, before the defaults. Everything that can be merged beforehand is.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::capture::{Keys, Plan};
use super::reader::{Node, Path, Problems};
use super::route_metadata;

/// What a rule looks at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Path without the query.
    pub path: &'a [u8],
}

/// The compiled table.
#[derive(Debug)]
pub struct Rules {
    table: Vec<Rule>,
    defaults: Rule,
    overrides: RefCell<Overrides>,
}

/// One rule, or the defaults, which match everything.
#[derive(Debug)]
struct Rule {
    path_prefix: Option<String>,
    keys: Keys,
    plan: Rc<Plan>,
}

/// Route metadata seen so far, by its bytes: a route's never change, and decoding them for each
/// request would cost more than all the rest.
type Overrides = BTreeMap<Box<[u8]>, Override>;

#[derive(Debug)]
struct Override {
    keys: Option<Keys>,
    /// The merged plans, by the number of the rule that lies beneath.
    plans: BTreeMap<usize, Rc<Plan>>,
}

const MAX_RULES: usize = 1000;
const MAX_PREFIX_BYTES: usize = 1024;
/// Far more than a proxy has routes with keys of ours; beyond it the cache starts anew.
const MAX_OVERRIDES: usize = 256;

impl Rules {
    pub(super) fn read(routes: Option<&Node<'_>>, defaults: Keys) -> Self {
        let mut table = Vec::new();
        if let Some(node) = routes {
            for (index, value) in node
                .list(MAX_RULES, "rules")
                .into_iter()
                .flatten()
                .enumerate()
            {
                let path = Path::Index(&node.path, index);
                table.extend(Rule::read(
                    &Node {
                        value,
                        path,
                        problems: node.problems,
                    },
                    &defaults,
                ));
            }
        }
        let plan = Rc::new(defaults.plan());
        let defaults = Rule {
            path_prefix: None,
            keys: defaults,
            plan,
        };
        Self {
            table,
            defaults,
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

    /// The plan for an exchange. Faults of the route's metadata go to `tell`, once for each distinct
    /// metadata, and the exchange is then recorded as if the route had none.
    pub fn plan(
        &self,
        subject: &Subject<'_>,
        route_metadata: Option<&[u8]>,
        tell: impl FnOnce(&Problems),
    ) -> Rc<Plan> {
        let number = self.table.iter().position(|rule| rule.matches(subject));
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
            let keys = route_metadata::read(bytes).unwrap_or_else(|problems| {
                tell(&problems);
                None
            });
            overrides.insert(
                bytes.into(),
                Override {
                    keys,
                    plans: BTreeMap::new(),
                },
            );
        }
        let Some(Override {
            keys: Some(keys),
            plans,
        }) = overrides.get_mut(bytes)
        else {
            return Rc::clone(&rule.plan);
        };
        let merged = || Rc::new(keys.over(&rule.keys).plan());
        Rc::clone(plans.entry(number).or_insert_with(merged))
    }
}

impl Rule {
    fn read(node: &Node<'_>, defaults: &Keys) -> Option<Self> {
        let object = node.object("match and capture")?;
        let path_prefix = object
            .require("match", "an object with path")
            .and_then(|node| path_prefix(&node));
        let keys = object
            .require("capture", "an object with capture keys")
            .map(|node| Keys::read(&node).over(defaults))
            .unwrap_or_default();
        object.refuse_unknown();
        let plan = Rc::new(keys.plan());
        Some(Self {
            path_prefix,
            keys,
            plan,
        })
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        let prefix = self.path_prefix.as_deref().unwrap_or_default();
        subject.path.starts_with(prefix.as_bytes())
    }
}

/// An empty `match` matches every exchange.
fn path_prefix(node: &Node<'_>) -> Option<String> {
    let matcher = node.object("path")?;
    let prefix = matcher.get("path").and_then(|node| {
        let path = node.object("prefix")?;
        let prefix = path
            .require("prefix", "a path that begins with a slash")
            .and_then(|node| {
                let fits = |text: &str| text.starts_with('/') && text.len() <= MAX_PREFIX_BYTES;
                node.text("a path that begins with a slash", fits)
                    .map(str::to_owned)
            });
        path.refuse_unknown();
        prefix
    });
    matcher.refuse_unknown();
    prefix
}
