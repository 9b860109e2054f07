//! A file in blocks: the positions above, the blocks below.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memchr::memmem;

use super::Place;
use super::header::{BLOCK_BYTES, BlockHeader, HEADER_BYTES, MAGIC, TRAILER_BYTES, pack};
use crate::disk::{DiskFile, read_exact_at};
use crate::seal::Keys;

/// Headers are read with what follows: blocks of quiet streams are small, and many lie in this.
const WINDOW_BYTES: usize = 4096;
/// What a search looks at at once.
const SEARCH_BYTES: usize = 64 << 10;
/// Blocks are remembered at this distance or more: a full segment has 512 of them.
const POINT_BYTES: u64 = 64 << 10;
/// As far as this is walked; what is farther away is sought from the end of the file too.
const WALK_BYTES: u64 = 4 * POINT_BYTES;
/// Blocks go to the file in pieces of about this size.
const WRITE_BYTES: usize = 1 << 20;

/// A file in blocks. Written only at the end of a block: what lies behind is void from then on, as a crash leaves it.
pub(super) struct BlockFile {
    file: Arc<dyn DiskFile>,
    place: Place,
    keys: Option<Arc<Keys>>,
    compress: bool,
    /// The lock is for `&self` only, it is held for a look or a change.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Where some blocks begin, ascending. Blocks at positions that were read never move.
    points: Vec<Point>,
    /// Where the last write has ended.
    end: Option<Point>,
}

/// A border between blocks.
#[derive(Clone, Copy, Default)]
struct Point {
    /// Position of the byte behind it.
    position: u64,
    /// Where that is in the file.
    at: u64,
}

/// Bytes of the file that were read at once.
#[derive(Default)]
struct Window {
    at: u64,
    bytes: Vec<u8>,
}

impl BlockFile {
    pub(super) fn new(
        file: Arc<dyn DiskFile>,
        place: Place,
        keys: Option<&Arc<Keys>>,
        compress: bool,
    ) -> Self {
        Self {
            file,
            place,
            keys: keys.cloned(),
            compress,
            known: Mutex::default(),
        }
    }

    /// Whether `file` is in blocks. One that does not begin as it should is if a block is found anywhere.
    ///
    /// # Errors
    /// What the disk says about the beginning, when no block is found elsewhere.
    pub(super) fn recognise(file: &dyn DiskFile, place: Place) -> io::Result<bool> {
        let mut start = [0; HEADER_BYTES];
        let begun = file.read_at(&mut start, 0);
        let count = *begun.as_ref().unwrap_or(&0);
        let start = start.get(..count).unwrap_or_default();
        if BlockHeader::decode(start, place).is_some() {
            return Ok(true);
        }
        if [b"EVJSEG\r\n", b"EVJIDX\r\n"]
            .iter()
            .any(|magic| start.starts_with(*magic))
        {
            return Ok(false);
        }
        let mut at = 0;
        while let Some((found, bytes)) = next_magic(file, at, &mut None)? {
            if BlockHeader::decode(&bytes, place).is_some() {
                return Ok(true);
            }
            at = found + 1;
        }
        begun.map(|_| false)
    }

    /// The first block from `from` on. Where there is none, it is searched: what is found must be sound as a whole, as the
    /// bytes that were published can hold what looks like a header. What could not be read on the way and was passed over is in
    /// `passed`.
    fn block_from(
        &self,
        window: &mut Window,
        from: Point,
        passed: &mut Option<io::Error>,
    ) -> io::Result<Option<(u64, BlockHeader)>> {
        let fits = |header: &BlockHeader| header.position >= from.position;
        if let Some(header) = self.header_at(window, from.at).filter(fits) {
            return Ok(Some((from.at, header)));
        }
        let mut at = from.at;
        while let Some((found, bytes)) = next_magic(&*self.file, at, passed)? {
            if let Some(header) = BlockHeader::decode(&bytes, self.place).filter(fits) {
                match self.load(found, &header) {
                    Ok(Some(_)) => return Ok(Some((found, header))),
                    Ok(None) => {}
                    Err(error) => *passed = Some(error),
                }
            }
            at = found + 1;
        }
        Ok(None)
    }

    /// The valid header at a place in the file. One that cannot be read is none.
    fn header_at(&self, window: &mut Window, at: u64) -> Option<BlockHeader> {
        let within = at
            .checked_sub(window.at)
            .and_then(|skip| usize::try_from(skip).ok());
        let held = within.and_then(|skip| window.bytes.get(skip..)?.get(..HEADER_BYTES));
        if let Some(bytes) = held {
            return BlockHeader::decode(bytes, self.place);
        }
        let mut bytes = vec![0; WINDOW_BYTES];
        let mut count = 0;
        // A window may reach into what cannot be read: the header comes first.
        while let Some(rest) = bytes.get_mut(count..).filter(|_| count < HEADER_BYTES) {
            match self.file.read_at(rest, at + count as u64) {
                Ok(0) | Err(_) => break,
                Ok(more) => count += more,
            }
        }
        if count == 0 {
            bytes.truncate(HEADER_BYTES);
            count = self.file.read_at(&mut bytes, at).unwrap_or(0);
        }
        bytes.truncate(count);
        *window = Window { at, bytes };
        BlockHeader::decode(&window.bytes, self.place)
    }

    /// What a block stands for; `None` when it is damaged.
    fn load(&self, at: u64, header: &BlockHeader) -> io::Result<Option<Vec<u8>>> {
        let mut block = vec![0; header.length as usize];
        match read_exact_at(&*self.file, &mut block, at) {
            Ok(()) => Ok(header.unpack(&mut block, self.place, self.keys.as_deref())),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The last block, when the file ends with one.
    fn last_block(&self, window: &mut Window) -> io::Result<Option<(u64, BlockHeader)>> {
        let length = self.file.len()?;
        Ok(self.block_before(window, length))
    }

    /// The block that ends at `end` in the file.
    fn block_before(&self, window: &mut Window, end: u64) -> Option<(u64, BlockHeader)> {
        let mut length = [0; TRAILER_BYTES];
        let trailer_at = end.checked_sub(TRAILER_BYTES as u64)?;
        read_exact_at(&*self.file, &mut length, trailer_at).ok()?;
        let at = end.checked_sub(u64::from(u32::from_le_bytes(length)))?;
        let header = self.header_at(window, at)?;
        (at + u64::from(header.length) == end).then_some((at, header))
    }

    /// The beginning of a block at or before `position`, as near as can be told cheaply.
    fn seek(&self, window: &mut Window, position: u64) -> io::Result<Point> {
        let (below, above) = self.known().around(position);
        if position - below.position <= WALK_BYTES {
            return Ok(below);
        }
        let above = match above {
            Some(above) => above,
            None => match self.last_block(window)? {
                Some((at, header)) => Point {
                    position: header.position,
                    at,
                },
                None => return Ok(below),
            },
        };
        if above.position > position && above.position - position > position - below.position {
            return Ok(below);
        }
        let mut point = above;
        while point.position > position {
            match self.block_before(window, point.at) {
                Some((at, header)) if header.end() <= point.position => {
                    point = Point {
                        position: header.position,
                        at,
                    };
                    self.known().note(point);
                }
                _ => return Ok(below),
            }
        }
        self.known().note(point);
        Ok(point)
    }

    /// Where in the file the block ends that ends at `position`; `None` when there is none that can be told.
    pub(super) fn end_of(&self, position: u64) -> io::Result<Option<u64>> {
        if position == 0 {
            return Ok(Some(0));
        }
        if let Some(end) = self.known().end.filter(|end| end.position == position) {
            return Ok(Some(end.at));
        }
        let mut window = Window::default();
        let mut last = self.last_block(&mut window)?;
        while let Some((at, header)) = last {
            if header.end() == position {
                return Ok(Some(at + u64::from(header.length)));
            }
            if header.position < position {
                break;
            }
            last = self.block_before(&mut window, at);
        }
        let mut point = Point::default();
        while point.position < position {
            match self.header_at(&mut window, point.at) {
                Some(header) if header.position == point.position => {
                    point = Point {
                        position: header.end(),
                        at: point.at + u64::from(header.length),
                    };
                }
                _ => return Ok(None),
            }
        }
        Ok((point.position == position).then_some(point.at))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic while it is held leaves at worst a point less.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskFile for BlockFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut window = Window::default();
        let mut point = self.seek(&mut window, offset)?;
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let wanted = offset + filled as u64;
            let mut passed = None;
            let next = self.block_from(&mut window, point, &mut passed)?;
            // What is missing before it is damaged only if it could be looked for.
            let is_missing = next
                .as_ref()
                .is_none_or(|(_, header)| header.position > wanted);
            match passed.filter(|_| is_missing) {
                // What was read before is worth having; who goes on learns of the error.
                Some(_) if filled > 0 => break,
                Some(error) => return Err(error),
                None => {}
            }
            let Some((at, header)) = next else {
                break;
            };
            point = Point {
                position: header.position,
                at,
            };
            self.known().note(point);
            if header.position > wanted {
                filled += fill(rest, &[], header.position - wanted);
                continue;
            }
            if header.end() > wanted {
                let skip = usize::try_from(wanted - header.position).expect("within a block");
                match self.load(at, &header) {
                    Ok(bytes) => {
                        let bytes = bytes.as_deref().and_then(|bytes| bytes.get(skip..));
                        filled += fill(rest, bytes.unwrap_or_default(), header.end() - wanted);
                    }
                    // What was read before is worth having; who goes on learns of the error.
                    Err(_) if filled > 0 => break,
                    Err(error) => return Err(error),
                }
            }
            point = Point {
                position: header.end(),
                at: at + u64::from(header.length),
            };
        }
        Ok(filled)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let length = self.file.len()?;
        // Behind damage nobody knows what is void, and nothing is cut.
        let mut at = self.end_of(offset)?.unwrap_or(length);
        {
            let mut known = self.known();
            known.end = None;
            known.points.retain(|point| point.position < offset);
        }
        if at < length {
            self.file.set_len(at)?;
        }
        let mut out = Vec::new();
        let mut position = offset;
        for piece in bytes.chunks(BLOCK_BYTES) {
            if out.len() >= WRITE_BYTES {
                self.file.write_all_at(&out, at)?;
                at += out.len() as u64;
                out.clear();
            }
            pack(
                &mut out,
                piece,
                position,
                self.place,
                self.compress,
                self.keys.as_deref(),
            );
            position += piece.len() as u64;
        }
        self.file.write_all_at(&out, at)?;
        at += out.len() as u64;
        self.known().end = Some(Point { position, at });
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut window = Window::default();
        if let Some((_, header)) = self.last_block(&mut window)? {
            return Ok(header.end());
        }
        let length = self.file.len()?;
        let mut point = Point::default();
        while let Some((at, header)) = self.block_from(&mut window, point, &mut None)? {
            let end = at + u64::from(header.length);
            if end > length {
                break;
            }
            point = Point {
                position: header.end(),
                at: end,
            };
        }
        Ok(point.position)
    }

    /// Cuts what lies behind a block.
    ///
    /// # Errors
    /// `Unsupported` when no block ends at `length`.
    fn set_len(&self, length: u64) -> io::Result<()> {
        let Some(at) = self.end_of(length)? else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a file in blocks is cut between blocks only",
            ));
        };
        if at < self.file.len()? {
            self.file.set_len(at)?;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

impl Known {
    /// The nearest points at or before a position, and behind it.
    fn around(&self, position: u64) -> (Point, Option<Point>) {
        let behind = self
            .points
            .partition_point(|point| point.position <= position);
        let below = behind.checked_sub(1).and_then(|at| self.points.get(at));
        (
            below.copied().unwrap_or_default(),
            self.points.get(behind).copied(),
        )
    }

    fn note(&mut self, point: Point) {
        let (below, above) = self.around(point.position);
        let is_far = point.position - below.position >= POINT_BYTES
            && above.is_none_or(|above| above.position - point.position >= POINT_BYTES);
        if is_far {
            let behind = self
                .points
                .partition_point(|other| other.position < point.position);
            self.points.insert(behind, point);
        }
    }
}

/// Fills the beginning of `rest` with `bytes` and then zeros, `count` bytes at most; returns how many it was.
fn fill(rest: &mut [u8], bytes: &[u8], count: u64) -> usize {
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(rest.len());
    let (copied, zeros) = rest[..count].split_at_mut(bytes.len().min(count));
    copied.copy_from_slice(&bytes[..copied.len()]);
    zeros.fill(0);
    count
}

/// The next place from `from` on where a header may be, and what begins there. Passes over what cannot be read, and leaves the
/// error in `passed`.
fn next_magic(
    file: &dyn DiskFile,
    from: u64,
    passed: &mut Option<io::Error>,
) -> io::Result<Option<(u64, Vec<u8>)>> {
    let length = file.len()?;
    let mut at = from;
    let mut piece_bytes = SEARCH_BYTES;
    while at < length {
        let count = usize::try_from(length - at)
            .unwrap_or(usize::MAX)
            .min(piece_bytes);
        let mut bytes = vec![0; count];
        if let Err(error) = read_exact_at(file, &mut bytes, at) {
            if piece_bytes > WINDOW_BYTES {
                // The smaller piece may be readable.
                piece_bytes = WINDOW_BYTES;
            } else {
                *passed = Some(error);
                at += count as u64;
            }
            continue;
        }
        if let Some(found) = memmem::find(&bytes, MAGIC) {
            let found_at = at + found as u64;
            let mut header = vec![0; HEADER_BYTES];
            return Ok(match read_exact_at(file, &mut header, found_at) {
                Ok(()) => Some((found_at, header)),
                // It ends here, or cannot be read: no header.
                Err(error) => {
                    if error.kind() != io::ErrorKind::UnexpectedEof {
                        *passed = Some(error);
                    }
                    Some((found_at, Vec::new()))
                }
            });
        }
        // A magic may begin in the last bytes of the piece.
        at += count.saturating_sub(MAGIC.len() - 1).max(1) as u64;
        piece_bytes = SEARCH_BYTES;
    }
    Ok(None)
}
