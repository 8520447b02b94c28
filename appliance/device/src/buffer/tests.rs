use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Buffer, BufferMut, Pool};
use crate::limits::{BLOCK_BYTES, HUGE_PAGE_BYTES};

fn address(bytes: &[u8]) -> usize {
    bytes.as_ptr().addr()
}

#[test]
fn buffers_are_zeroed_and_aligned() {
    for blocks in [1, 2, 3, 1000] {
        let buffer = BufferMut::zeroed(blocks * BLOCK_BYTES);
        assert_eq!(buffer.len(), blocks * BLOCK_BYTES);
        assert!(address(&buffer).is_multiple_of(BLOCK_BYTES));
        assert!(buffer.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn padding_fills_up_to_the_block() {
    for (length, expected) in [(0, 4096), (1, 4096), (4096, 4096), (4097, 8192)] {
        let buffer = BufferMut::padded(&vec![7; length]);
        assert_eq!(buffer.len(), expected, "{length}");
        assert!(buffer[..length].iter().all(|byte| *byte == 7), "{length}");
        assert!(buffer[length..].iter().all(|byte| *byte == 0), "{length}");
    }
}

#[test]
#[should_panic(expected = "buffer of 100 bytes")]
fn an_odd_length_is_a_programming_error() {
    drop(BufferMut::zeroed(100));
}

#[test]
#[should_panic(expected = "not aligned")]
fn an_odd_part_is_a_programming_error() {
    drop(BufferMut::zeroed(BLOCK_BYTES).freeze().slice(0..100));
}

#[test]
fn parts_and_clones_share_the_memory() {
    let mut buffer = BufferMut::zeroed(4 * BLOCK_BYTES);
    buffer[2 * BLOCK_BYTES] = 9;
    let at = address(&buffer);
    let whole = buffer.freeze();
    let part = whole
        .slice(BLOCK_BYTES..4 * BLOCK_BYTES)
        .slice(BLOCK_BYTES..2 * BLOCK_BYTES);
    assert_eq!(address(&whole), at);
    assert_eq!(address(&part), at + 2 * BLOCK_BYTES);
    assert_eq!((part.len(), part[0]), (BLOCK_BYTES, 9));
}

#[test]
fn only_the_sole_owner_of_the_whole_gets_to_write_again() {
    let whole = BufferMut::zeroed(2 * BLOCK_BYTES).freeze();
    let clone = whole.clone();
    let whole = whole.try_into_mut().expect_err("shared");
    drop(clone);
    let part = whole.slice(0..BLOCK_BYTES);
    drop(whole);
    let part = part.try_into_mut().expect_err("a part");
    assert_eq!(part.len(), BLOCK_BYTES);
    drop(part);

    let mut buffer = BufferMut::zeroed(BLOCK_BYTES)
        .freeze()
        .try_into_mut()
        .expect("sole owner");
    buffer[0] = 1;
}

#[test]
fn debug_output_shows_no_content() {
    let buffer = BufferMut::padded(b"secret");
    assert_eq!(format!("{buffer:?}"), "BufferMut(4096 bytes)");
    assert_eq!(format!("{:?}", Buffer::from(buffer)), "Buffer(4096 bytes)");
}

#[test]
fn a_pool_gives_out_no_more_than_its_bound() {
    let pool = Pool::new(BLOCK_BYTES, 2);
    let first = pool.try_take().expect("first");
    let second = pool.try_take().expect("second");
    assert!(pool.try_take().is_none());
    assert_eq!((pool.in_use(), pool.high_water()), (2, 2));
    // A frozen part keeps the slab out.
    let part = first.freeze().slice(0..BLOCK_BYTES);
    assert!(pool.try_take().is_none());
    drop(part);
    drop(second);
    assert_eq!((pool.in_use(), pool.high_water()), (0, 2));
    assert!(Pool::new(BLOCK_BYTES, 0).try_take().is_none());
}

#[test]
fn a_slab_comes_home_from_another_thread_and_tells() {
    let pool = Pool::new(BLOCK_BYTES, 1);
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    pool.on_return(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let slab = pool.take_blocking().freeze();
    let other = std::thread::spawn(move || drop(slab));
    // Wakes up when the other thread lets go.
    let again = pool.take_blocking();
    other.join().expect("thread");
    assert_eq!(told.load(Ordering::SeqCst), 1);
    drop(again);
    assert_eq!(told.load(Ordering::SeqCst), 2);
}

#[test]
fn a_wiping_pool_shows_nothing_of_the_last_user() {
    let pool = Pool::new(BLOCK_BYTES, 1);
    pool.set_wipe_on_return(true);
    pool.try_take().expect("slab").fill(0x55);
    let slab = pool.try_take().expect("slab");
    assert!(slab.iter().all(|byte| *byte == 0));
}

#[test]
fn the_slabs_of_a_pool_lie_side_by_side_from_the_start_of_a_huge_page() {
    let pool = Pool::new(3 * BLOCK_BYTES, 5);
    let place = pool.place();
    assert!(place.start.is_multiple_of(HUGE_PAGE_BYTES));
    assert_eq!(place.len(), 15 * BLOCK_BYTES);
    let mut slabs: Vec<BufferMut> = std::iter::from_fn(|| pool.try_take()).collect();
    slabs.sort_by_key(|slab| address(slab));
    let expected = (0..5).map(|number| place.start + number * 3 * BLOCK_BYTES);
    assert!(slabs.iter().map(|slab| address(slab)).eq(expected));
    for (slab, value) in slabs.iter_mut().zip(1..) {
        assert!(slab.len() == 3 * BLOCK_BYTES && slab.iter().all(|byte| *byte == 0));
        slab.fill(value);
    }
    for (slab, value) in slabs.iter().zip(1..) {
        assert!(slab.iter().all(|byte| *byte == value), "slab {value}");
    }
    assert!(Pool::new(BLOCK_BYTES, 0).place().is_empty());
}

#[test]
fn a_short_buffer_shows_its_first_bytes_and_brings_all_of_it_home() {
    let pool = Pool::new(4 * BLOCK_BYTES, 1);
    pool.try_take().expect("slab").fill(0x55);
    let mut short = pool.try_take_short(BLOCK_BYTES).expect("slab");
    assert_eq!(short.len(), BLOCK_BYTES);
    short.fill(0x66);
    let frozen = short.freeze();
    assert_eq!(frozen.len(), BLOCK_BYTES);
    let short = frozen.try_into_mut().expect("sole owner of the whole");
    assert_eq!(short.len(), BLOCK_BYTES);
    drop(short);
    let whole = pool.try_take().expect("slab");
    assert_eq!(whole.len(), 4 * BLOCK_BYTES);
    assert!(whole[..BLOCK_BYTES].iter().all(|byte| *byte == 0x66));
    assert!(whole[BLOCK_BYTES..].iter().all(|byte| *byte == 0x55));
    drop(whole);
    assert!(pool.try_take_short(5 * BLOCK_BYTES).is_none());
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_slab_may_outlive_its_pool() {
    let pool = Pool::new(BLOCK_BYTES, 1);
    let mut slab = pool.try_take().expect("slab");
    drop(pool);
    slab.fill(1);
    assert!(slab.iter().all(|byte| *byte == 1));
}
