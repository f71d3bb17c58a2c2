//! Lists endpoints without reading every entry: the index is asked for the first endpoint, then for the next after
//! it, and so on (a "loose index scan").

use sqlx::{Postgres, QueryBuilder, Row};
use time::OffsetDateTime;
use tracing::instrument;

use super::filter::push_visible;
use super::select::push_limit;
use crate::model::scope::Scope;
use crate::store::{Store, StoreError};

/// Each step finds one endpoint of one user.
const MAX_STEPS: i64 = 1000;

/// Endpoints, without duplicates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointList {
    /// Normalized and sorted.
    pub names: Vec<String>,
    /// There are more.
    pub truncated: bool,
}

impl Store {
    /// The scope's first 1,000 endpoints, of entries that have not expired at `now`.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.endpoints", skip_all, err(level = "debug"))]
    pub async fn endpoints(
        &self,
        scope: &Scope,
        now: OffsetDateTime,
    ) -> Result<EndpointList, StoreError> {
        let read = async {
            let mut transaction = self.begin_read(scope).await?;
            let mut query = query(scope, now);
            let row = query.build().fetch_one(&mut *transaction).await?;
            let steps: i64 = row.try_get("steps")?;
            Ok(EndpointList {
                names: row.try_get("names")?,
                truncated: steps > MAX_STEPS,
            })
        };
        read.await.map_err(StoreError::for_read)
    }
}

fn query(scope: &Scope, now: OffsetDateTime) -> QueryBuilder<Postgres> {
    let mut query =
        QueryBuilder::new("with recursive found as ((select e.user_id, e.endpoint from entries e");
    push_visible(&mut query, scope, now);
    query.push(
        " order by e.user_id, e.endpoint limit 1) union all \
         select next.* from found, lateral (select e.user_id, e.endpoint from entries e",
    );
    push_visible(&mut query, scope, now);
    query.push(match scope {
        Scope::User(_) => " and e.endpoint > found.endpoint",
        Scope::Everyone => " and (e.user_id, e.endpoint) > (found.user_id, found.endpoint)",
    });
    query.push(
        " order by e.user_id, e.endpoint limit 1) next), \
         steps as (select endpoint, row_number() over () as step from found",
    );
    push_limit(&mut query, MAX_STEPS + 1);
    query
        .push(") select coalesce(array_agg(distinct endpoint) filter (where step <= ")
        .push_bind(MAX_STEPS)
        .push("), '{}') as names, count(*) as steps from steps");
    query
}
