//! Explains why a filter matches explanation. Each visible entry is tested once for which conditions it meets. From
//! that follows how many entries each condition matches alone, and which conditions to remove for any to match.

use sqlx::{Postgres, QueryBuilder, Row};
use time::OffsetDateTime;
use tracing::instrument;

use super::EntryFilter;
use super::filter::{push_condition, push_visible};
use super::select::push_limit;
use crate::model::scope::Scope;
use crate::store::{Store, StoreError};

/// Only that many entries are examined, the latest.
const MAX_EXAMINED: i64 = 100_000;
/// The response must not wait long for the explanation, and other queries not at all.
const LIMIT: &str = "select set_config('statement_timeout', '2s', true),
                            set_config('max_parallel_workers_per_gather', '0', true)";

/// What a query returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultKind {
    /// Entries: all are examined.
    Entries,
    /// Sessions: only entries that belong to one are examined.
    Sessions,
}

/// Why a filter matches explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmptyResult {
    /// How many entries each condition matches alone, in the order of [`EntryFilter::conditions`].
    pub alone: Vec<i64>,
    /// All entries were examined; else the counts are of the latest ones only.
    pub exact: bool,
    /// How many entries were examined.
    pub examined: i64,
    /// Indices of the conditions to remove.
    pub removing: Vec<usize>,
    /// All of them must be removed; else any one is enough.
    pub together: bool,
}

/// Entries that meet the same conditions.
#[derive(Debug, Clone, Copy)]
struct Group {
    /// A bit for each condition, the first the lowest.
    met: i64,
    entries: i64,
}

impl Store {
    /// Explains why a filter matches explanation. None: that would take too long.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.explain_empty", skip_all, err(level = "debug"))]
    pub async fn explain_empty(
        &self,
        scope: &Scope,
        filter: &EntryFilter,
        kind: ResultKind,
        now: OffsetDateTime,
    ) -> Result<Option<EmptyResult>, StoreError> {
        match self
            .groups(scope, filter, kind, now)
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
        kind: ResultKind,
        now: OffsetDateTime,
    ) -> Result<Vec<Group>, StoreError> {
        let mut transaction = self.begin_read(scope).await?;
        sqlx::query(LIMIT).execute(&mut *transaction).await?;
        let rows = query(scope, filter, kind, now)
            .build()
            .fetch_all(&mut *transaction)
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

fn query(
    scope: &Scope,
    filter: &EntryFilter,
    kind: ResultKind,
    now: OffsetDateTime,
) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select met, count(*) as entries from (select 0::bigint");
    for (index, condition) in filter.conditions().enumerate() {
        query.push(" | case when ");
        push_condition(&mut query, condition);
        query.push(format_args!(" then 1::bigint << {index} else 0 end"));
    }
    query.push(" as met from entries e");
    push_visible(&mut query, scope, now);
    if kind == ResultKind::Sessions {
        query.push(" and e.session_id is not null");
    }
    query.push(" order by e.created_at desc, e.id desc");
    push_limit(&mut query, MAX_EXAMINED);
    query.push(") examined group by met");
    query
}

fn explain(conditions: usize, groups: &[Group]) -> EmptyResult {
    let examined = groups.iter().map(|group| group.entries).sum();
    let count = |index: usize| {
        let meets = groups.iter().filter(|group| group.met >> index & 1 == 1);
        meets.map(|group| group.entries).sum()
    };
    let unmet = |group: &Group| -> Vec<usize> {
        let indices = 0..conditions;
        indices
            .filter(|index| group.met >> index & 1 == 0)
            .collect()
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
    fn names_single_condition_to_remove() {
        let explanation = explain(2, &[group(0b01, 7), group(0b00, 2)]);
        assert_eq!(explanation.alone, [7, 0]);
        assert_eq!(
            (explanation.removing, explanation.together),
            (vec![1], false)
        );
        assert_eq!((explanation.examined, explanation.exact), (9, true));
    }

    #[test]
    fn names_conditions_that_exclude_each_other() {
        let explanation = explain(3, &[group(0b101, 4), group(0b110, 5)]);
        assert_eq!(explanation.alone, [4, 5, 9]);
        assert_eq!(
            (explanation.removing, explanation.together),
            (vec![0, 1], false)
        );
    }

    #[test]
    fn names_conditions_to_remove_together() {
        let explanation = explain(3, &[group(0b100, 4), group(0b000, 5)]);
        assert_eq!(
            (explanation.removing, explanation.together),
            (vec![0, 1], true)
        );
    }

    #[test]
    fn names_no_condition_without_entries() {
        let explanation = explain(2, &[]);
        assert_eq!(explanation.alone, [0, 0]);
        assert!(explanation.removing.is_empty() && !explanation.together);
    }

    #[test]
    fn counts_are_inexact_at_examination_limit() {
        assert!(explain(1, &[group(0, MAX_EXAMINED - 1)]).exact);
        assert!(!explain(1, &[group(0, MAX_EXAMINED)]).exact);
    }

    proptest! {
        #[test]
        fn removal_set_is_minimal(met in prop::collection::btree_set(0..31i64, 1..6)) {
            const CONDITIONS: usize = 5;
            let groups: Vec<_> = met.iter().map(|&met| group(met, 1)).collect();
            let matches = |removed: i64| met.iter().any(|met| met | removed == 31);
            let explanation = explain(CONDITIONS, &groups);
            let removal: i64 = explanation.removing.iter().map(|index| 1 << index).sum();
            prop_assert!(matches(removal));
            let size = if explanation.together { explanation.removing.len() } else { 1 };
            for removed in 0..32i64 {
                if (removed.count_ones() as usize) < size {
                    prop_assert!(!matches(removed));
                }
            }
            if !explanation.together {
                prop_assert!(explanation.removing.iter().all(|index| matches(1 << index)));
            }
        }
    }
}
