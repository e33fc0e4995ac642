//! SQLite's write-ahead log, as its file format says: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::collections::BTreeMap;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// A log, and how far it was written back into the file.
pub(crate) struct Log {
    bytes: Vec<u8>,
    page_bytes: usize,
    frames: Vec<Frame>,
    /// How many frames the file has, for sure.
    written_back: usize,
    /// And how many it may have in part.
    touched_frames: usize,
}

/// A page as a transaction has left it.
struct Frame {
    page: usize,
    is_commit: bool,
    /// Where it ends in the log.
    end: usize,
}

impl Log {
    /// `index` is the file with the suffix `-shm`, see <https://www.sqlite.org/walformat.html>.
    pub(crate) fn new(bytes: Vec<u8>, index: &[u8]) -> Self {
        const SALT_IN_INDEX: usize = 32;
        const WRITTEN_BACK: usize = 96;
        const TOUCHED: usize = 128;
        let page_bytes = big(&bytes, 8);
        let mut log = Self {
            frames: frames(&bytes, page_bytes),
            bytes,
            page_bytes,
            written_back: 0,
            touched_frames: 0,
        };
        if log.bytes[16..24] == index[SALT_IN_INDEX..SALT_IN_INDEX + 8] {
            log.written_back = native(index, WRITTEN_BACK);
            log.touched_frames = native(index, TOUCHED);
        } else {
            // It is about to begin anew, which it does when the file has all of it.
            (log.written_back, log.touched_frames) = (log.frames.len(), log.frames.len());
        }
        log
    }

    /// As far as it is a log, and a little more: what is just being written, or left of an older log.
    pub(crate) fn bytes(&self) -> &[u8] {
        const MORE: usize = 1 << 16;
        &self.bytes[..self.bytes.len().min(self.end() + MORE)]
    }

    /// As far as it is a log.
    pub(crate) fn end(&self) -> usize {
        self.frames.last().map_or(HEADER, |frame| frame.end)
    }

    /// Where the commit ends that has recorded an event, or where the file has something of the log, if that is further on. The
    /// disk has to have everything up to there.
    pub(crate) fn end_of_commit(&self, id: &[u8; 16]) -> usize {
        // The first page that has it is of its own commit; later ones have it because it stands beside theirs.
        let has_it = |frame: &&Frame| self.page(frame).windows(id.len()).any(|bytes| bytes == id);
        // If none has it, the file has it, and the log has begun anew.
        let recorded = self.frames.iter().find(has_it).map(|frame| frame.end);
        let committed = recorded.map(|recorded| {
            self.commits().find(|&end| end >= recorded).expect("what was acknowledged was committed")
        });
        committed.unwrap_or(HEADER).max(self.touched())
    }

    /// Where the commit before that ends, if the file has nothing of the last one.
    pub(crate) fn commit_before(&self, end: usize) -> Option<usize> {
        self.commits().take_while(|&commit| commit < end).last().filter(|&before| before >= self.touched())
    }

    /// The pages up to there that the file need not have yet, as they are then, and where they belong in it.
    pub(crate) fn not_written_back(&self, end: usize) -> BTreeMap<usize, &[u8]> {
        let frames = self.frames.iter().skip(self.written_back).take_while(|frame| frame.end <= end);
        frames.map(|frame| ((frame.page - 1) * self.page_bytes, self.page(frame))).collect()
    }

    fn page(&self, frame: &Frame) -> &[u8] {
        &self.bytes[frame.end - self.page_bytes..frame.end]
    }

    /// Where each commit ends.
    fn commits(&self) -> impl Iterator<Item = usize> {
        self.frames.iter().filter(|frame| frame.is_commit).map(|frame| frame.end)
    }

    /// Up to where the file has something of the log, at least in part.
    fn touched(&self) -> usize {
        self.touched_frames.checked_sub(1).map_or(HEADER, |last| self.frames[last].end)
    }
}

/// The frames whose checksums are right, each of which depends on all before. What follows the last commit does not count.
fn frames(bytes: &[u8], page_bytes: usize) -> Vec<Frame> {
    let mut sum = Checksum::default();
    sum.add(&bytes[..24]);
    assert_eq!(sum, Checksum(big(bytes, 24), big(bytes, 28)), "the log has a header");
    let mut frames = Vec::new();
    for (number, frame) in bytes[HEADER..].chunks_exact(FRAME_HEADER + page_bytes).enumerate() {
        sum.add(&frame[..8]);
        sum.add(&frame[FRAME_HEADER..]);
        let is_of_this_log = frame[8..16] == bytes[16..24];
        if !is_of_this_log || sum != Checksum(big(frame, 16), big(frame, 20)) {
            break;
        }
        let end = HEADER + (number + 1) * (FRAME_HEADER + page_bytes);
        frames.push(Frame { page: big(frame, 0), is_commit: big(frame, 4) > 0, end });
    }
    frames
}

#[derive(Debug, Default, PartialEq)]
struct Checksum(usize, usize);

impl Checksum {
    /// In the order of bytes that little-endian machines write.
    fn add(&mut self, bytes: &[u8]) {
        const MASK: usize = u32::MAX as usize;
        for words in bytes.chunks_exact(8) {
            self.0 = (self.0 + little(words, 0) + self.1) & MASK;
            self.1 = (self.1 + little(words, 4) + self.0) & MASK;
        }
    }
}

fn word(bytes: &[u8], at: usize) -> [u8; 4] {
    bytes[at..at + 4].try_into().expect("four bytes")
}

fn big(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(word(bytes, at)) as usize
}

fn little(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(word(bytes, at)) as usize
}

fn native(bytes: &[u8], at: usize) -> usize {
    u32::from_ne_bytes(word(bytes, at)) as usize
}
