//! The length of the header of a zstd dictionary, which has its entropy tables. RFC 8878, section 5.

/// Magic number and dictionary id.
const PREFIX_BYTES: usize = 8;
/// Three offsets, after the tables.
const OFFSETS_BYTES: usize = 12;
/// The highest accuracy of a table.
const MAX_ACCURACY: u32 = 15;

/// Length of a dictionary before its content; `None` if it is not a dictionary.
pub(super) fn header_length(dictionary: &[u8]) -> Option<usize> {
    let mut position = PREFIX_BYTES;
    position += huffman_length(dictionary.get(position..)?)?;
    // Offsets, match lengths, literal lengths.
    for _ in 0..3 {
        position += fse_length(dictionary.get(position..)?)?;
    }
    position += OFFSETS_BYTES;
    (position <= dictionary.len()).then_some(position)
}

/// Section 4.2.1.
fn huffman_length(table: &[u8]) -> Option<usize> {
    let header = usize::from(*table.first()?);
    let weights = if header < 128 {
        header
    } else {
        (header - 126) / 2
    };
    Some(1 + weights)
}

/// Section 4.1.1.
fn fse_length(table: &[u8]) -> Option<usize> {
    let mut bits = BitReader { table, position: 0 };
    let accuracy = bits.take(4)? + 5;
    if accuracy > MAX_ACCURACY {
        return None;
    }
    let mut remaining = (1_u32 << accuracy) + 1;
    let mut threshold = 1_u32 << accuracy;
    let mut width = accuracy + 1;
    while remaining > 1 {
        let max = 2 * threshold - 1 - remaining;
        let low = bits.peek(width - 1);
        let value = if low < max {
            bits.position += width - 1;
            low
        } else {
            let value = bits.take(width)?;
            if value >= threshold {
                value - max
            } else {
                value
            }
        };
        // 0 stands for "less than one", which counts as one.
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
    usize::try_from(bits.position.div_ceil(8)).ok()
}

/// Reads bits, the lowest of each byte first.
struct BitReader<'a> {
    table: &'a [u8],
    position: u32,
}

impl BitReader<'_> {
    /// Bits after the end are zero.
    fn peek(&self, width: u32) -> u32 {
        let byte = |number: u32| {
            let byte = self
                .table
                .get(usize::try_from(number).unwrap_or(usize::MAX));
            u32::from(byte.copied().unwrap_or(0))
        };
        let first = self.position / 8;
        let word = (0..4).fold(0, |word, number| {
            word | byte(first + number) << (8 * number)
        });
        (word >> (self.position % 8)) & ((1 << width) - 1)
    }

    fn take(&mut self, width: u32) -> Option<u32> {
        let value = self.peek(width);
        self.position += width;
        let end = usize::try_from(self.position.div_ceil(8)).ok()?;
        (end <= self.table.len()).then_some(value)
    }
}
