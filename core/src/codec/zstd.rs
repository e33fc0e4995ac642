//! Compression by zstd, and its reversal up to a bound.

use std::io::Read as _;

use zstd::stream::read::Decoder;

use crate::error::DecodeFault;

/// zstd's own choice: each level above costs more time than it saves room.
const LEVEL: i32 = 3;
/// The largest window that is believed, as a power of two: no more than a whole payload of the largest size.
const WINDOW_LOG_MAX: u32 = super::DECOMPRESSED_BYTES_MAX.ilog2();

/// The same in fewer bytes; `None` if they would not be fewer.
pub(super) fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    // It fails for want of memory, and only then; the content itself can always be written.
    let packed = zstd::bulk::compress(bytes, LEVEL).ok()?;
    (packed.len() < bytes.len()).then_some(packed)
}

/// What [`compress`] was given, if that had at most `bytes_max` bytes.
pub(super) fn decompress(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecodeFault> {
    let fault = |error: std::io::Error| DecodeFault::Payload(error.into());
    let mut decoder = Decoder::with_buffer(packed).map_err(fault)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(fault)?;
    let mut bytes = Vec::new();
    // One more, to see whether there is one more.
    decoder.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() > bytes_max {
        return Err(DecodeFault::TooLarge { bytes_max });
    }
    Ok(bytes)
}
