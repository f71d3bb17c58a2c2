//! Compares the collector's queries with the bare SQL, over five million entries.

mod cases;
pub(crate) mod dataset;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use dossier_tests::HarnessError;
use dossier_tests::client::{CollectorClient, CollectorResponse};
use dossier_tests::collector::{Collector, CollectorPlan};
use dossier_tests::paths;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};

use crate::statistics::{median, quantile};
use cases::{Case, CursorPosition, QueryUser, Request};
use dataset::{ENTRIES, LARGE_USER, USER, failed};

/// Kept between runs, below the folder of what was built.
const FOLDER: &str = "bench-query";
const PAGE_SIZE: usize = 100;
const NEAR: usize = 100;
const DEEP: usize = 100_000;
/// Rounds before those that count: connections, prepared statements and caches.
const WARM_UP: usize = 5;

/// Milliseconds of one question in one round.
#[derive(Debug, Clone, Copy)]
struct Round {
    sql: f64,
    /// As the collector says.
    took: f64,
    /// As the client sees it.
    whole: f64,
}

/// Who asks: by plain HTTP, since the harness's client holds each answer against the API's description.
struct QueryClient {
    http: reqwest::Client,
    base: String,
    user: String,
    large: String,
}

/// Measures, and returns a table.
pub(crate) async fn run(rounds: usize) -> Result<String, HarnessError> {
    let profile = paths::find_profile_folder()?;
    let folder = profile.parent().unwrap_or(&profile).join(FOLDER);
    let collector = start(&folder).await?;
    let collector_client = CollectorClient::new(collector.address)?;
    let mut database = PgConnection::connect_with(&options(&folder))
        .await
        .map_err(failed("reach the collector's Postgres"))?;
    let ingest = collector.create_key("bench", "ingest", "bench").await?;
    dataset::fill(&collector_client, &ingest, &mut database).await?;
    let client = QueryClient {
        http: reqwest::Client::new(),
        base: format!("http://{}", collector.address),
        user: collector.create_key(USER, "readonly", "bench").await?,
        large: collector
            .create_key(LARGE_USER, "readonly", "bench")
            .await?,
    };
    let near = find_position_after(&collector_client, &client.large, NEAR).await?;
    let deep = find_position_after(&collector_client, &client.large, DEEP).await?;
    let cases = cases::all(&near, &deep);
    let mut measured = vec![Vec::new(); cases.len()];
    for number in 0..rounds + WARM_UP {
        for (case, rounds) in cases.iter().zip(&mut measured) {
            let round = measure_round(case, &client, &mut database, number % 2 == 0).await?;
            if number >= WARM_UP {
                rounds.push(round);
            }
        }
    }
    Ok(table(rounds, &cases, &measured))
}

/// Starts a collector with its data here.
pub(crate) async fn start(folder: &Path) -> Result<Collector, HarnessError> {
    let making = || {
        std::fs::create_dir_all(folder)?;
        // As root, Postgres runs as another user, who must get in.
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
    };
    making().map_err(HarnessError::io(format!("make {}", folder.display())))?;
    let plan = CollectorPlan {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data: folder.to_owned(),
        log: folder.join("collector.log"),
        database_url: None,
        // The bench is one client that asks as fast as it is answered.
        environment: vec![("DOSSIER_RATE_LIMIT".to_owned(), "0".to_owned())],
    };
    Collector::start(plan).await
}

/// How to reach that collector's Postgres.
pub(crate) fn options(folder: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(folder.join("postgres/socket"))
        .username("dossier")
        .database("dossier")
}

/// One turn of each.
async fn measure_round(
    case: &Case,
    client: &QueryClient,
    database: &mut PgConnection,
    sql_first: bool,
) -> Result<Round, HarnessError> {
    let before = if sql_first {
        Some(run_bare_sql(case, database).await?)
    } else {
        None
    };
    let begin = Instant::now();
    let (status, bytes) = send_request(case, client).await?;
    let whole = milliseconds(begin);
    let sql = match before {
        Some(sql) => sql,
        None => run_bare_sql(case, database).await?,
    };
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let took = answer.pointer("/metadata/took_ms");
    match took.and_then(Value::as_f64) {
        Some(took) if status == 200 => Ok(Round { sql, took, whole }),
        _ => Err(HarnessError::Unexpected {
            doing: case.name.to_owned(),
            answer: format!("{status} {answer}"),
        }),
    }
}

async fn run_bare_sql(case: &Case, database: &mut PgConnection) -> Result<f64, HarnessError> {
    let begin = Instant::now();
    for statement in &case.sql {
        sqlx::query(AssertSqlSafe(statement.as_str()))
            .fetch_all(&mut *database)
            .await
            .map_err(failed("run the bare SQL"))?;
    }
    Ok(milliseconds(begin))
}

async fn send_request(case: &Case, client: &QueryClient) -> Result<(u16, Vec<u8>), HarnessError> {
    let key = match case.user {
        QueryUser::User => &client.user,
        QueryUser::Large => &client.large,
    };
    let request = match &case.request {
        Request::Get(path) => client.http.get(format!("{}{path}", client.base)),
        Request::Post(path, body) => client
            .http
            .post(format!("{}{path}", client.base))
            .json(body),
    };
    let doing = || format!("ask for {}", case.name);
    let answer = request.bearer_auth(key).send().await;
    let answer = answer.map_err(HarnessError::http(doing()))?;
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.map_err(HarnessError::http(doing()))?;
    Ok((status, bytes.to_vec()))
}

/// Walks there by cursor, as a client would.
async fn find_position_after(
    client: &CollectorClient,
    key: &str,
    entries: usize,
) -> Result<CursorPosition, HarnessError> {
    let mut request = json!({"page_size": PAGE_SIZE, "include": []});
    for page in 1.. {
        let answer = client.query(key, &request).await?;
        let last = answer.items().last();
        let field = |name| last.and_then(|entry| entry.get(name));
        let cursor = answer.json.pointer("/data/next_cursor");
        let (Some(cursor), Some(created_at), Some(id)) = (
            cursor.and_then(Value::as_str),
            field("created_at").and_then(Value::as_str),
            field("id").and_then(Value::as_i64),
        ) else {
            return Err(unexpected("walk by cursor", &answer));
        };
        if page * PAGE_SIZE >= entries {
            return Ok(CursorPosition {
                cursor: cursor.to_owned(),
                created_at: created_at.to_owned(),
                id,
            });
        }
        if let Some(request) = request.as_object_mut() {
            request.insert("cursor".to_owned(), json!(cursor));
        }
    }
    Err(HarnessError::Unexpected {
        doing: "walk by cursor".to_owned(),
        answer: "no end".to_owned(),
    })
}

fn milliseconds(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

fn unexpected(doing: &str, answer: &CollectorResponse) -> HarnessError {
    HarnessError::Unexpected {
        doing: doing.to_owned(),
        answer: format!("{} {}", answer.status, answer.json),
    }
}

fn table(rounds: usize, cases: &[Case], measured: &[Vec<Round>]) -> String {
    let mut table = format!(
        "{ENTRIES} entries, {rounds} rounds. In ms; ratios are medians over the rounds, with their middle half.\n\n\
         | | bare SQL | collector | with HTTP | collector / SQL | with HTTP / SQL |\n\
         |---|---:|---:|---:|---:|---:|\n"
    );
    for (case, rounds) in cases.iter().zip(measured) {
        let of = |value: fn(&Round) -> f64| rounds.iter().map(value).collect::<Vec<_>>();
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {} | {:.2} | {:.2} | {:.2} | {} | {} |",
            case.name,
            median(&of(|round| round.sql)),
            median(&of(|round| round.took)),
            median(&of(|round| round.whole)),
            spread(&of(|round| round.took / round.sql)),
            spread(&of(|round| round.whole / round.sql)),
        );
    }
    table
}

fn spread(ratios: &[f64]) -> String {
    let (low, high) = (quantile(ratios, 0.25), quantile(ratios, 0.75));
    format!("**{:.2}** ({low:.2} to {high:.2})", median(ratios))
}
