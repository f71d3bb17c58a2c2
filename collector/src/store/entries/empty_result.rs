//! Why nothing was found: each of the user's entries is asked once which conditions it meets. From that
//! follows what every condition leaves alone, and which ones must go for anything to be left.

use sqlx::{Postgres, QueryBuilder, Row};
use time::OffsetDateTime;

use super::EntryFilter;
use super::filter::{push_alive, push_condition};
use super::select::push_limit;
use crate::model::scope::Scope;
use crate::store::{Store, StoreError};

/// So many entries are asked, the latest.
const MAX_EXAMINED: i64 = 100_000;
/// The answer must not wait long for this, and others must not wait for this at all.
const LIMIT: &str = "select set_config('statement_timeout', '2s', true),
                            set_config('max_parallel_workers_per_gather', '0', true)";

/// Which entries are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultKind {
    /// All that may be seen.
    Entries,
    /// Those that belong to a session.
    Sessions,
}

/// What the conditions of a filter leave, in the order of [`EntryFilter::conditions`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmptyResult {
    /// How many entries each condition leaves alone.
    pub alone: Vec<i64>,
    /// Every entry was asked; else the counts are of the latest ones only.
    pub exact: bool,
    /// How many entries were asked.
    pub examined: i64,
    /// Places of the conditions that must go.
    pub removing: Vec<usize>,
    /// They must go together; else each of them alone is enough.
    pub together: bool,
}

/// Entries that meet the same conditions.
#[derive(Debug, Clone, Copy)]
struct Group {
    /// Bit by bit, in order.
    met: i64,
    entries: i64,
}

impl Store {
    /// Tells why a filter finds nothing; nothing, if that takes too long.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn explain_empty(
        &self,
        scope: &Scope,
        filter: &EntryFilter,
        among: ResultKind,
        now: OffsetDateTime,
    ) -> Result<Option<EmptyResult>, StoreError> {
        match self
            .groups(scope, filter, among, now)
            .await
            .map_err(StoreError::for_read)
        {
            Ok(groups) => Ok(Some(explain(filter.conditions().count(), &groups))),
            Err(StoreError::ReadTimeout) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn groups(
        &self,
        scope: &Scope,
        filter: &EntryFilter,
        among: ResultKind,
        now: OffsetDateTime,
    ) -> Result<Vec<Group>, StoreError> {
        let mut reading = self.begin_read(scope).await?;
        sqlx::query(LIMIT).execute(&mut *reading).await?;
        let rows = ask(scope, filter, among, now)
            .build()
            .fetch_all(&mut *reading)
            .await?;
        let groups = rows.iter().map(|row| {
            Ok(Group {
                met: row.try_get("met")?,
                entries: row.try_get("entries")?,
            })
        });
        groups.collect()
    }
}

fn ask(
    scope: &Scope,
    filter: &EntryFilter,
    among: ResultKind,
    now: OffsetDateTime,
) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select met, count(*) as entries from (select 0::bigint");
    for (place, condition) in filter.conditions().enumerate() {
        query.push(" | case when ");
        push_condition(&mut query, condition);
        query.push(format_args!(" then 1::bigint << {place} else 0 end"));
    }
    query.push(" as met from entries e");
    push_alive(&mut query, scope, now);
    if among == ResultKind::Sessions {
        query.push(" and e.session_id is not null");
    }
    query.push(" order by e.created_at desc, e.id desc");
    push_limit(&mut query, MAX_EXAMINED);
    query.push(") examined group by met");
    query
}

fn explain(conditions: usize, groups: &[Group]) -> EmptyResult {
    let examined = groups.iter().map(|group| group.entries).sum();
    let count = |place: usize| {
        let meets = groups.iter().filter(|group| group.met >> place & 1 == 1);
        meets.map(|group| group.entries).sum()
    };
    let unmet = |group: &Group| -> Vec<usize> {
        let places = 0..conditions;
        places.filter(|place| group.met >> place & 1 == 0).collect()
    };
    let fewest = groups.iter().map(unmet).min_by_key(Vec::len);
    let together = fewest.as_ref().is_some_and(|fewest| fewest.len() > 1);
    let removing = match fewest {
        Some(fewest) if fewest.len() == 1 => {
            let alternatives = groups.iter().map(unmet).filter(|unmet| unmet.len() == 1);
            let mut alternatives: Vec<_> = alternatives.flatten().collect();
            alternatives.sort_unstable();
            alternatives
        }
        fewest => fewest.unwrap_or_default(),
    };
    EmptyResult {
        alone: (0..conditions).map(count).collect(),
        exact: examined < MAX_EXAMINED,
        examined,
        removing,
        together,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn group(met: i64, entries: i64) -> Group {
        Group { met, entries }
    }

    #[test]
    fn one_condition_is_to_blame() {
        let nothing = explain(2, &[group(0b01, 7), group(0b00, 2)]);
        assert_eq!(nothing.alone, [7, 0]);
        assert_eq!((nothing.removing, nothing.together), (vec![1], false));
        assert_eq!((nothing.examined, nothing.exact), (9, true));
    }

    #[test]
    fn two_conditions_that_each_find_something_exclude_each_other() {
        let nothing = explain(3, &[group(0b101, 4), group(0b110, 5)]);
        assert_eq!(nothing.alone, [4, 5, 9]);
        assert_eq!((nothing.removing, nothing.together), (vec![0, 1], false));
    }

    #[test]
    fn several_conditions_must_go_together() {
        let nothing = explain(3, &[group(0b100, 4), group(0b000, 5)]);
        assert_eq!((nothing.removing, nothing.together), (vec![0, 1], true));
    }

    #[test]
    fn where_there_is_nothing_no_condition_is_to_blame() {
        let nothing = explain(2, &[]);
        assert_eq!(nothing.alone, [0, 0]);
        assert!(nothing.removing.is_empty() && !nothing.together);
    }

    #[test]
    fn counts_of_the_latest_entries_alone_are_not_exact() {
        assert!(explain(1, &[group(0, MAX_EXAMINED - 1)]).exact);
        assert!(!explain(1, &[group(0, MAX_EXAMINED)]).exact);
    }

    proptest! {
        #[test]
        fn no_smaller_set_than_the_one_told_gives_results(met in prop::collection::btree_set(0..31i64, 1..6)) {
            const CONDITIONS: usize = 5;
            let groups: Vec<_> = met.iter().map(|&met| group(met, 1)).collect();
            let leaves = |removed: i64| met.iter().any(|met| met | removed == 31);
            let nothing = explain(CONDITIONS, &groups);
            let told: i64 = nothing.removing.iter().map(|place| 1 << place).sum();
            prop_assert!(leaves(told));
            let size = if nothing.together { nothing.removing.len() } else { 1 };
            for removed in 0..32i64 {
                if (removed.count_ones() as usize) < size {
                    prop_assert!(!leaves(removed));
                }
            }
            if !nothing.together {
                prop_assert!(nothing.removing.iter().all(|place| leaves(1 << place)));
            }
        }
    }
}
