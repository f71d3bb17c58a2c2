//! Rows for `COPY … FROM STDIN (FORMAT binary)`.
//!
//! The format is described in the Postgres manual under "COPY", "Binary Format": a signature, rows of
//! length-prefixed fields, a trailer. Each method appends one field; [`CopyRows::row`] begins a row. The rows of
//! several buffers can be sent one after the other.

use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use crate::model::entry::Expiry;

/// Precedes all rows.
pub const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Follows all rows.
pub const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// Postgres counts time from here.
const POSTGRES_EPOCH: OffsetDateTime = datetime!(2000-01-01 00:00 UTC);
const JSONB_VERSION: u8 = 1;

/// A buffer of rows.
#[derive(Debug, Default)]
pub struct CopyRows {
    buffer: Vec<u8>,
}

/// The position of a field that is patched in later.
#[derive(Debug, Clone, Copy)]
pub struct Slot<const BYTES: usize>(usize);

impl CopyRows {
    /// Begins a row of that many fields.
    pub fn row(&mut self, fields: i16) -> &mut Self {
        self.buffer.extend_from_slice(&fields.to_be_bytes());
        self
    }

    /// `bigint`
    pub fn int8(&mut self, value: i64) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    /// `integer`
    pub fn int4(&mut self, value: i32) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    /// `integer` that may be null.
    pub fn maybe_int4(&mut self, value: Option<i32>) -> &mut Self {
        match value {
            Some(value) => self.int4(value),
            None => self.null(),
        }
    }

    /// `smallint`
    pub fn int2(&mut self, value: Option<i16>) -> &mut Self {
        match value {
            Some(value) => self.field(&value.to_be_bytes()),
            None => self.null(),
        }
    }

    /// `boolean`
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.field(&[u8::from(value)])
    }

    /// `text`, or the label of an enum.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.field(value.as_bytes())
    }

    /// `text` that may be null.
    pub fn maybe_text(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }

    /// `bytea`
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.field(value)
    }

    /// `bytea` that may be null.
    pub fn maybe_bytes(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(value) => self.field(value),
            None => self.null(),
        }
    }

    /// `uuid`
    pub fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.field(value.as_bytes())
    }

    /// `uuid` that may be null.
    pub fn maybe_uuid(&mut self, value: Option<Uuid>) -> &mut Self {
        match value {
            Some(value) => self.uuid(value),
            None => self.null(),
        }
    }

    /// `timestamptz`, to the microsecond.
    pub fn timestamp(&mut self, value: OffsetDateTime) -> &mut Self {
        // The calendar ends in the year 9999, so that the microseconds fit by far.
        let micros = (value - POSTGRES_EPOCH).whole_microseconds();
        self.field(&i64::try_from(micros).unwrap_or(i64::MAX).to_be_bytes())
    }

    /// `timestamptz` that may be null.
    pub fn maybe_timestamp(&mut self, value: Option<OffsetDateTime>) -> &mut Self {
        match value {
            Some(value) => self.timestamp(value),
            None => self.null(),
        }
    }

    /// `timestamptz`, with `infinity` for "never".
    pub fn expiry(&mut self, value: Expiry) -> &mut Self {
        match value {
            Expiry::At(at) => self.timestamp(at),
            Expiry::Never => self.field(&i64::MAX.to_be_bytes()),
        }
    }

    /// `jsonb` from JSON text.
    pub fn jsonb(&mut self, json: &str) -> &mut Self {
        self.length(json.len() + 1);
        self.buffer.push(JSONB_VERSION);
        self.buffer.extend_from_slice(json.as_bytes());
        self
    }

    /// `jsonb` from JSON text, which may be null.
    pub fn maybe_jsonb(&mut self, json: Option<&str>) -> &mut Self {
        match json {
            Some(json) => self.jsonb(json),
            None => self.null(),
        }
    }

    /// A field of fixed size whose value is [patched](Self::patch) in later.
    pub fn slot<const BYTES: usize>(&mut self) -> Slot<BYTES> {
        self.length(BYTES);
        let slot = Slot(self.buffer.len());
        self.buffer.extend_from_slice(&[0; BYTES]);
        slot
    }

    /// Sets the value of a slot of these rows.
    pub fn patch<const BYTES: usize>(&mut self, slot: Slot<BYTES>, bytes: [u8; BYTES]) {
        if let Some(field) = self.buffer.get_mut(slot.0..slot.0 + BYTES) {
            field.copy_from_slice(&bytes);
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// No value.
    pub fn null(&mut self) -> &mut Self {
        self.buffer.extend_from_slice(&NULL);
        self
    }

    fn field(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len());
        self.buffer.extend_from_slice(bytes);
        self
    }

    fn length(&mut self, bytes: usize) {
        // A field comes from one batch, which is at most 32 MiB; Postgres would refuse the row, not
        // misread it, if a longer one ever came here.
        let length = i32::try_from(bytes).unwrap_or(i32::MAX);
        self.buffer.extend_from_slice(&length.to_be_bytes());
    }
}
