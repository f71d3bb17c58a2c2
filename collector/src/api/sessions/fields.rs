//! The fields of the two requests for sessions. Most are those of `query/fields.rs`.

use serde_json::json;

use super::session_cursor;
use crate::api::query::fields::{
    END_DATE, ENDPOINT, EXPECTED_CURSOR, FILTERS, PAGE, PAGE_SIZE, PAGING, SEARCH, SESSION_ID,
    START_DATE, STORAGE_TYPE, TYPE, USER_ID,
};
use crate::api::request::{Encoded, Field, Integer, OrDefault, Request};
use crate::store::SessionCursor;

pub(in crate::api) static SESSION_LIST: Request = Request {
    name: "SessionList",
    groups: &[&[
        &PAGE,
        &PAGE_SIZE,
        &CURSOR,
        &ENDPOINT,
        &START_DATE,
        &END_DATE,
        &SESSION_ID,
        &STORAGE_TYPE,
        &TYPE,
        &USER_ID,
    ]],
    example: &[&PAGE, &PAGE_SIZE, &STORAGE_TYPE],
};

pub(in crate::api) static SESSION_QUERY: Request = Request {
    name: "SessionQuery",
    groups: &[
        FILTERS,
        PAGING,
        &[&CURSOR, &USER_ID, &SEARCH, &ENTRIES_PER_SESSION],
    ],
    example: &[&ENDPOINT, &START_DATE, &END_DATE, &ENTRIES_PER_SESSION],
};

pub(super) static CURSOR: Field<Encoded<SessionCursor>> = Field {
    name: "cursor",
    kind: Encoded {
        max_bytes: session_cursor::MAX_BYTES,
        expected: EXPECTED_CURSOR,
        decode: session_cursor::decode,
    },
    description: "`next_cursor` of the previous page.",
    example: || json!("MTc3MjM2NjQwMDAwMDAwMDowMTk4YTNjNS03ZjAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDI"),
};

pub(in crate::api) static ENTRIES_PER_SESSION: Field<OrDefault<Integer<u8>>> = Field {
    name: "entries_per_session",
    kind: OrDefault {
        kind: Integer::new(1, 100),
        default: 20,
    },
    description: "How many entries are shown of each session.",
    example: || json!(5),
};
