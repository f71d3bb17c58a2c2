//! The head of a zstd dictionary: how frequent bytes, lengths and distances are. RFC 8878, section 5.

/// Magic number and the dictionary's own number.
const BEFORE_TABLES: usize = 8;
/// Three distances, behind the tables.
const DISTANCES: usize = 12;
/// A table is never finer than this.
const FINEST: u32 = 15;

/// Bytes of a dictionary before its content; nothing if it is no dictionary.
pub(super) fn head_length(dictionary: &[u8]) -> Option<usize> {
    let mut place = BEFORE_TABLES;
    place += huffman_length(dictionary.get(place..)?)?;
    // Of distances, of lengths of matches, and of those of literals.
    for _ in 0..3 {
        place += fse_length(dictionary.get(place..)?)?;
    }
    place += DISTANCES;
    (place <= dictionary.len()).then_some(place)
}

/// Section 4.2.1.
fn huffman_length(table: &[u8]) -> Option<usize> {
    let head = usize::from(*table.first()?);
    let weights = if head < 128 { head } else { (head - 126) / 2 };
    Some(1 + weights)
}

/// Section 4.1.1.
fn fse_length(table: &[u8]) -> Option<usize> {
    let mut bits = Bits { table, place: 0 };
    let accuracy = bits.take(4)? + 5;
    if accuracy > FINEST {
        return None;
    }
    let mut remaining = (1_u32 << accuracy) + 1;
    let mut threshold = 1_u32 << accuracy;
    let mut width = accuracy + 1;
    while remaining > 1 {
        let most = 2 * threshold - 1 - remaining;
        let low = bits.peek(width - 1);
        let value = if low < most {
            bits.place += width - 1;
            low
        } else {
            let value = bits.take(width)?;
            if value >= threshold {
                value - most
            } else {
                value
            }
        };
        // 0 stands for "less than one", which takes the place of one.
        let count = if value == 0 { 1 } else { value - 1 };
        remaining = remaining.checked_sub(count)?;
        if value == 1 {
            while bits.take(2)? == 3 {}
        }
        while remaining < threshold {
            width -= 1;
            threshold >>= 1;
        }
    }
    usize::try_from(bits.place.div_ceil(8)).ok()
}

/// Bits from the lowest of the first byte on.
struct Bits<'a> {
    table: &'a [u8],
    place: u32,
}

impl Bits<'_> {
    /// Behind the end are zeroes.
    fn peek(&self, width: u32) -> u32 {
        let byte = |number: u32| {
            let byte = self
                .table
                .get(usize::try_from(number).unwrap_or(usize::MAX));
            u32::from(byte.copied().unwrap_or(0))
        };
        let first = self.place / 8;
        let word = (0..4).fold(0, |word, number| {
            word | byte(first + number) << (8 * number)
        });
        (word >> (self.place % 8)) & ((1 << width) - 1)
    }

    fn take(&mut self, width: u32) -> Option<u32> {
        let value = self.peek(width);
        self.place += width;
        let end = usize::try_from(self.place.div_ceil(8)).ok()?;
        (end <= self.table.len()).then_some(value)
    }
}
