//! The fields of `POST /storage/query`, each declared once: name, bounds, meaning and example. The parser
//! and the API document both use these declarations. `POST /storage/sessions/query` accepts most of
//! them, too: its own fields are in `sessions/fields.rs`.
//!
//! A new filter is declared here, listed in [`FILTERS`], and read in `filter.rs`.

use dossier_wire::limits::{MAX_SESSION_ID_BYTES, MAX_TEXT_BYTES};
use dossier_wire::{Completion, Half};
use serde_json::json;

use super::included_parts::IncludedParts;
use super::metadata_filters::{self, MetadataFilters};
use super::page_token::{self, PageToken};
use crate::api::request::{
    AnyField, Choice, DayEdge, Encoded, Field, Instant, Integer, OrDefault, Request, Text, UuidText,
};
use crate::model::ids::UserId;
use crate::model::trace_id::TraceId;
use crate::store::{EntryParts, Order};

/// Pages by number cost as much as all pages before them; deeper ones are reached by cursor.
const MAX_PAGE: i64 = 10_000;
const MAX_ENDPOINT_BYTES: usize = 8 * 1024;
/// A thousand years.
const MAX_DURATION_MS: i64 = 1000 * 366 * 86_400_000;
/// As long as a recorded text may be.
const TEXT: Text = Text {
    max_bytes: MAX_TEXT_BYTES,
};
pub(in crate::api) const EXPECTED_CURSOR: &str =
    "expected the next_cursor of an earlier response, unchanged";

pub(in crate::api) static ENTRY_QUERY: Request = Request {
    name: "EntryQuery",
    groups: &[FILTERS, PAGING, &[&CURSOR, &USER_ID, &SEARCH]],
    example: &[
        &STORAGE_TYPE,
        &ENDPOINT,
        &START_DATE,
        &METADATA_FILTERS,
        &PAGE_SIZE,
        &INCLUDE,
    ],
};

/// Which entries match.
pub(in crate::api) const FILTERS: &[&dyn AnyField] = &[
    &STORAGE_TYPE,
    &TYPE,
    &ENDPOINT,
    &START_DATE,
    &END_DATE,
    &METADATA_FILTERS,
    &SESSION_ID,
    &EXCHANGE_ID,
    &STATUS,
    &METHOD,
    &REQUEST_ID,
    &TRACE_ID,
    &HOST,
    &ROUTE,
    &PATH,
    &PATH_PREFIX,
    &MIN_DURATION_MS,
    &COMPLETION,
    &CONTENT_TYPE,
    &MIN_SIZE,
];

/// Which page of them is shown, and how. With the cursor, these do not change the total.
pub(in crate::api) const PAGING: &[&dyn AnyField] = &[&PAGE, &PAGE_SIZE, &ORDER, &INCLUDE];

const HALF: Choice<Option<Half>> = Choice(&[
    ("request", Some(Half::Request)),
    ("response", Some(Half::Response)),
    ("both", None),
]);

pub(in crate::api) static STORAGE_TYPE: Field<Choice<Option<Half>>> = Field {
    name: "storage_type",
    kind: HALF,
    description: "In any case; `both` is either.",
    example: || json!("response"),
};

pub(in crate::api) static TYPE: Field<Choice<Option<Half>>> = Field {
    name: "type",
    kind: HALF,
    description: "The same as `storage_type`.",
    example: || json!("response"),
};

pub(in crate::api) static ENDPOINT: Field<Text> = Field {
    name: "endpoint",
    kind: Text {
        max_bytes: MAX_ENDPOINT_BYTES,
    },
    description: "Brought to the form in which endpoints are stored, of a long one the first 1,024 bytes; if none is stored, it is looked up in any case, with and without `/api` and `/v1`.",
    example: || json!("/api/v1/ai/generate"),
};

pub(in crate::api) static START_DATE: Field<Instant> = Field {
    name: "start_date",
    kind: Instant(DayEdge::Start),
    description: "From this instant, or from the start of this UTC day.",
    example: || json!("2026-03-01"),
};

pub(in crate::api) static END_DATE: Field<Instant> = Field {
    name: "end_date",
    kind: Instant(DayEdge::End),
    description: "To this instant, or to the end of this UTC day.",
    example: || json!("2026-03-31T23:59:59+02:00"),
};

pub(in crate::api) static METADATA_FILTERS: Field<MetadataFilters> = Field {
    name: metadata_filters::FIELD,
    kind: MetadataFilters,
    description: "All must match.",
    example: || json!({"model": {"regex": "^gpt"}, "usage.tokens": {"gte": 100}}),
};

pub(in crate::api) static SESSION_ID: Field<Text> = Field {
    name: "session_id",
    kind: Text {
        max_bytes: MAX_SESSION_ID_BYTES,
    },
    description: "Of one session: its id, or the name that clients gave it. Of all users, there may be several of a name.",
    example: || json!("0198a3c5-7f00-7000-8000-000000000002"),
};

pub(in crate::api) static EXCHANGE_ID: Field<UuidText> = Field {
    name: "exchange_id",
    kind: UuidText,
    description: "Of one exchange.",
    example: || json!("0198a3c5-7f00-7000-8000-000000000001"),
};

pub(in crate::api) static STATUS: Field<Integer<i16>> = Field {
    name: "status",
    kind: Integer::new(100, 999),
    description: "HTTP status of the response.",
    example: || json!(200),
};

pub(in crate::api) static METHOD: Field<Text> = Field {
    name: "method",
    kind: Text { max_bytes: 64 },
    description: "HTTP method, in any case.",
    example: || json!("POST"),
};

pub(in crate::api) static REQUEST_ID: Field<Text> = Field {
    name: "request_id",
    kind: TEXT,
    description: "`x-request-id`, as in the access log of the proxy.",
    example: || json!("7f3c2a9e-5d0b-4b0e-9a51-1f6b6c0d4a11"),
};

pub(in crate::api) static TRACE_ID: Field<Encoded<TraceId>> = Field {
    name: "trace_id",
    kind: Encoded {
        max_bytes: 32,
        expected: "expected the id of a trace: 32 hex digits, not all zero",
        decode: |text| text.parse().ok(),
    },
    description: "Of one trace: the second part of `traceparent`.",
    example: || json!("0af7651916cd43dd8448eb211c80319c"),
};

pub(in crate::api) static HOST: Field<Text> = Field {
    name: "host",
    kind: TEXT,
    description: "`:authority` or `Host`, as it was sent.",
    example: || json!("api.example.com"),
};

pub(in crate::api) static ROUTE: Field<Text> = Field {
    name: "route",
    kind: TEXT,
    description: "Name of the proxy's route.",
    example: || json!("ai"),
};

pub(in crate::api) static PATH: Field<Text> = Field {
    name: "path",
    kind: TEXT,
    description: "The whole path, without the query, as it was sent.",
    example: || json!("/api/v1/ai/generate"),
};

pub(in crate::api) static PATH_PREFIX: Field<Text> = Field {
    name: "path_prefix",
    kind: TEXT,
    description: "What the path begins with.",
    example: || json!("/api/v1/"),
};

pub(in crate::api) static MIN_DURATION_MS: Field<Integer<i64>> = Field {
    name: "min_duration_ms",
    kind: Integer::new(0, MAX_DURATION_MS),
    description: "`duration_ms` at least: from the start of the exchange to the end of this half.",
    example: || json!(500),
};

pub(in crate::api) static COMPLETION: Field<Choice<Completion>> = Field {
    name: "completion",
    kind: Choice(&[
        ("complete", Completion::Complete),
        ("client_aborted", Completion::ClientAborted),
        ("upstream_reset", Completion::UpstreamReset),
        ("local_reply", Completion::LocalReply),
        ("timeout", Completion::Timeout),
    ]),
    description: "How the exchange ended.",
    example: || json!("timeout"),
};

pub(in crate::api) static CONTENT_TYPE: Field<Text> = Field {
    name: "content_type",
    kind: TEXT,
    description: "`content-type` in any case; parameters, such as the charset, are not compared.",
    example: || json!("application/json"),
};

pub(in crate::api) static MIN_SIZE: Field<Integer<i64>> = Field {
    name: "min_size",
    kind: Integer::new(0, i64::MAX),
    description: "`content.size` at least: bytes of the body as it was sent.",
    example: || json!(1024),
};

pub(in crate::api) static PAGE: Field<OrDefault<Integer<i64>>> = Field {
    name: "page",
    kind: OrDefault {
        kind: Integer::new(1, MAX_PAGE),
        default: 1,
    },
    description: "Number of the page; deeper pages are reached by `cursor`.",
    example: || json!(1),
};

pub(in crate::api) static PAGE_SIZE: Field<OrDefault<Integer<u8>>> = Field {
    name: "page_size",
    kind: OrDefault {
        kind: Integer::new(1, 100),
        default: 20,
    },
    description: "How many are on a page.",
    example: || json!(20),
};

pub(in crate::api) static ORDER: Field<OrDefault<Choice<Order>>> = Field {
    name: "order",
    kind: OrDefault {
        kind: Choice(&[("desc", Order::Descending), ("asc", Order::Ascending)]),
        default: Order::Descending,
    },
    description: "The newest first, or the oldest first.",
    example: || json!("desc"),
};

pub(in crate::api) static INCLUDE: Field<OrDefault<IncludedParts>> = Field {
    name: "include",
    kind: OrDefault {
        kind: IncludedParts,
        default: EntryParts {
            bodies: true,
            headers: false,
        },
    },
    description: "What is shown of entries in addition to what is always shown.",
    example: || json!(["data", "headers"]),
};

pub(super) static CURSOR: Field<Encoded<PageToken>> = Field {
    name: "cursor",
    kind: Encoded {
        max_bytes: page_token::MAX_BYTES,
        expected: EXPECTED_CURSOR,
        decode: PageToken::decode,
    },
    description: "`next_cursor` of the previous page.",
    example: || json!("MTc3MjM2NjQwMDI1MDAwMDo0Mjo3OmY"),
};

pub(in crate::api) static USER_ID: Field<Text> = Field {
    name: "user_id",
    kind: Text {
        max_bytes: UserId::MAX_BYTES,
    },
    description: "Of this user; only admins may name another user than themselves.",
    example: || json!("alice"),
};

pub(in crate::api) static SEARCH: Field<Text> = Field {
    name: "search",
    kind: Text { max_bytes: 1024 },
    description: "Refused with 501: bodies cannot be searched.",
    example: || json!("words"),
};
