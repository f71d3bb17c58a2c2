//! The endpoints that there are, without looking at every entry: the index is asked for the first, then
//! for the next behind that, and so on.

use sqlx::{Postgres, QueryBuilder, Row};
use time::OffsetDateTime;

use super::filter::push_alive;
use super::select::push_limit;
use crate::model::scope::Scope;
use crate::store::{Store, StoreError};

/// So many steps are taken, each to one endpoint of one user.
const MAX_STEPS: i64 = 1000;

/// Endpoints, without duplicates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointList {
    /// In normal form, in order.
    pub names: Vec<String>,
    /// There are more, which are not here.
    pub truncated: bool,
}

impl Store {
    /// The endpoints of entries that are alive at `now`: of the scope's first 1,000.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn endpoints(
        &self,
        scope: &Scope,
        now: OffsetDateTime,
    ) -> Result<EndpointList, StoreError> {
        let reading = async {
            let mut reading = self.begin_read(scope).await?;
            let mut walk = walk(scope, now);
            let row = walk.build().fetch_one(&mut *reading).await?;
            let steps: i64 = row.try_get("steps")?;
            Ok(EndpointList {
                names: row.try_get("names")?,
                truncated: steps > MAX_STEPS,
            })
        };
        reading.await.map_err(StoreError::for_read)
    }
}

fn walk(scope: &Scope, now: OffsetDateTime) -> QueryBuilder<Postgres> {
    let mut query =
        QueryBuilder::new("with recursive known as ((select e.user_id, e.endpoint from entries e");
    push_alive(&mut query, scope, now);
    query.push(
        " order by e.user_id, e.endpoint limit 1) union all \
         select next.* from known, lateral (select e.user_id, e.endpoint from entries e",
    );
    push_alive(&mut query, scope, now);
    query.push(match scope {
        Scope::User(_) => " and e.endpoint > known.endpoint",
        Scope::Everyone => " and (e.user_id, e.endpoint) > (known.user_id, known.endpoint)",
    });
    query.push(
        " order by e.user_id, e.endpoint limit 1) next), \
         walked as (select endpoint, row_number() over () as step from known",
    );
    push_limit(&mut query, MAX_STEPS + 1);
    query
        .push(") select coalesce(array_agg(distinct endpoint) filter (where step <= ")
        .push_bind(MAX_STEPS)
        .push("), '{}') as names, count(*) as steps from walked");
    query
}
