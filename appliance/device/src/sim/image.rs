//! The bytes of a simulated disk: sparse, cheap to copy, copied on write.
//!
//! A page that was never written, or only with zeros, takes no memory. A copy of the image shares
//! all pages with the original, so that keeping one for each step of a run costs little.

use std::sync::Arc;

use crate::limits::{BLOCK_BYTES, SECTOR_BYTES};

/// One block; nothing stands for zeros.
pub(crate) type Page = Option<Arc<[u8]>>;

const CHUNK_PAGES: usize = 64;
static ZERO_BLOCK: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// The bytes of one page.
pub(crate) fn page_bytes(page: &Page) -> &[u8] {
    page.as_deref().unwrap_or(&ZERO_BLOCK)
}

/// A page holding these bytes, one block of them.
pub(crate) fn page_of(bytes: &[u8]) -> Page {
    (bytes != ZERO_BLOCK).then(|| Arc::from(bytes))
}

/// `old` with those sectors of `new` whose bit is set.
pub(crate) fn mix(old: &Page, new: &Page, sectors: u8) -> Page {
    match sectors {
        0 => return old.clone(),
        u8::MAX => return new.clone(),
        _ => {}
    }
    let mut bytes = [0; BLOCK_BYTES];
    bytes.copy_from_slice(page_bytes(old));
    let fresh = page_bytes(new).chunks_exact(SECTOR_BYTES);
    for (sector, (into, from)) in bytes.chunks_exact_mut(SECTOR_BYTES).zip(fresh).enumerate() {
        if sectors & (1 << sector) != 0 {
            into.copy_from_slice(from);
        }
    }
    page_of(&bytes)
}

#[derive(Clone)]
struct Chunk([Page; CHUNK_PAGES]);

/// All pages of a disk, by block number.
#[derive(Clone, Default)]
pub(crate) struct Image {
    chunks: Vec<Option<Arc<Chunk>>>,
}

impl Image {
    pub(crate) fn get(&self, block: usize) -> &Page {
        match self.chunks.get(block / CHUNK_PAGES) {
            Some(Some(chunk)) => &chunk.0[block % CHUNK_PAGES],
            Some(None) | None => &None,
        }
    }

    pub(crate) fn set(&mut self, block: usize, page: Page) {
        let index = block / CHUNK_PAGES;
        if index >= self.chunks.len() {
            if page.is_none() {
                return;
            }
            self.chunks.resize(index + 1, None);
        }
        let slot = &mut self.chunks[index];
        if slot.is_none() && page.is_none() {
            return;
        }
        let chunk = slot.get_or_insert_with(|| Arc::new(Chunk([const { None }; CHUNK_PAGES])));
        Arc::make_mut(chunk).0[block % CHUNK_PAGES] = page;
    }

    /// The blocks that hold anything but zeros, in order.
    pub(crate) fn written(&self) -> impl Iterator<Item = (usize, &Page)> {
        self.chunks.iter().enumerate().flat_map(|(index, chunk)| {
            let pages = chunk.iter().flat_map(|chunk| chunk.0.iter().enumerate());
            pages
                .filter(|(_, page)| page.is_some())
                .map(move |(position, page)| (index * CHUNK_PAGES + position, page))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Image, mix, page_bytes, page_of};
    use crate::limits::BLOCK_BYTES;

    #[test]
    fn a_mixture_takes_exactly_the_chosen_sectors() {
        let (old, new) = (page_of(&[1; BLOCK_BYTES]), page_of(&[2; BLOCK_BYTES]));
        let mixed = mix(&old, &new, 0b1000_0001);
        let bytes = page_bytes(&mixed);
        assert!(bytes[..512].iter().all(|byte| *byte == 2));
        assert!(bytes[512..7 * 512].iter().all(|byte| *byte == 1));
        assert!(bytes[7 * 512..].iter().all(|byte| *byte == 2));
    }

    #[test]
    fn zeros_take_no_page_and_copies_do_not_see_later_writes() {
        let mut image = Image::default();
        image.set(1000, page_of(&[0; BLOCK_BYTES]));
        assert_eq!(image.written().count(), 0);
        image.set(70, page_of(&[3; BLOCK_BYTES]));
        let copy = image.clone();
        image.set(70, page_of(&[4; BLOCK_BYTES]));
        assert_eq!(page_bytes(copy.get(70))[0], 3);
        assert_eq!(page_bytes(image.get(70))[0], 4);
        assert_eq!(
            image.written().map(|(block, _)| block).collect::<Vec<_>>(),
            [70]
        );
        image.set(70, None);
        assert_eq!(image.written().count(), 0);
    }
}
