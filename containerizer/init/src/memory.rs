//! The memory that the program and its words live in.
//!
//! `init` runs for a few hundred microseconds, and then waits for a command to end. A general allocator
//! asks the kernel for a page for each size of object and gives it back; this one asks once, puts object
//! after object, and takes back only the last, or all once nothing is left. What is large has its own
//! pages, so that reading a large file does not stay in a process that waits for months.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::{null_mut, with_exposed_provenance_mut};

use init::Region;

/// Bytes that are asked of the kernel at once. It gives each page when it is first written to.
const REGION: usize = 256 * 1024;
/// Bytes from which on an object has its own pages.
const LARGE: usize = 64 * 1024;
/// Of a page, and of anything that may be asked for here.
const ALIGNED: usize = 4096;

// Tests have several threads.
#[cfg_attr(not(test), global_allocator)]
static MEMORY: Memory = Memory(Region::empty());

struct Memory(Region);

// SAFETY: `init` has one thread.
unsafe impl Sync for Memory {}

/// Gives the kernel back the pages that nothing is in any more. They are there again when they are needed.
pub fn give_back() {
    let (first, length) = MEMORY.0.free(ALIGNED);
    let first = with_exposed_provenance_mut(first);
    // SAFETY: nothing of these pages is in use, and who gets them later does not expect to find anything
    // in them.
    unsafe { libc::madvise(first, length, libc::MADV_DONTNEED) };
}

// SAFETY: an object is where `Region` has a place for it, or has pages of its own; both stay until it is
// given back.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        if align > ALIGNED {
            return null_mut();
        }
        if size >= LARGE {
            return map(size);
        }
        if let Some(object) = self.0.place(size, align) {
            return with_exposed_provenance_mut(object);
        }
        let region = map(REGION);
        if region.is_null() {
            return region;
        }
        self.0.begin(region.expose_provenance(), REGION);
        let object = self.0.place(size, align);
        object.map_or(null_mut(), with_exposed_provenance_mut)
    }

    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        if layout.size() >= LARGE {
            // SAFETY: these are the pages that `alloc` mapped for this object alone.
            unsafe { libc::munmap(object.cast(), layout.size()) };
        } else {
            self.0.release(object.addr(), layout.size());
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `alloc` wants.
        let object = unsafe { self.alloc(layout) };
        // New pages are zero already.
        if layout.size() < LARGE && !object.is_null() {
            // SAFETY: `alloc` has just given us that many bytes.
            unsafe { object.write_bytes(0, layout.size()) };
        }
        object
    }

    unsafe fn realloc(&self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let stays = layout.size() < LARGE && size < LARGE;
        if stays && self.0.resize(object.addr(), layout.size(), size) {
            return object;
        }
        // SAFETY: `size` is not zero, and with the alignment it is a layout: the caller promises both.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: as for `alloc`; the two objects do not overlap, and both have as many bytes.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(object, layout.size().min(size));
                self.dealloc(object, layout);
            }
            moved
        }
    }
}

/// Null when the kernel has none.
fn map(size: usize) -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: new pages, wherever there is room, touch nothing that is there.
    let mapped = unsafe { libc::mmap(null_mut(), size, access, flags, -1, 0) };
    match mapped == libc::MAP_FAILED {
        true => null_mut(),
        false => mapped.cast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that is there: its bytes all say who it is.
    struct Object {
        at: *mut u8,
        layout: Layout,
        name: u8,
    }

    impl Object {
        fn new(memory: &Memory, size: usize, align: usize, name: u8) -> Self {
            let layout = Layout::from_size_align(size, align).expect("a layout");
            // SAFETY: the size is not zero.
            let at = unsafe {
                match name & 1 {
                    0 => memory.alloc(layout),
                    _ => memory.alloc_zeroed(layout),
                }
            };
            assert!(at.addr().is_multiple_of(align) && !at.is_null());
            let object = Self { at, layout, name };
            assert!(name & 1 == 0 || object.bytes() == vec![0; size]);
            object.write()
        }

        fn write(self) -> Self {
            // SAFETY: the object has that many bytes.
            unsafe { self.at.write_bytes(self.name, self.layout.size()) };
            self
        }

        fn bytes(&self) -> &[u8] {
            // SAFETY: the object has that many bytes, and all have been written by now.
            unsafe { std::slice::from_raw_parts(self.at, self.layout.size()) }
        }

        fn is_whole(&self, size: usize) -> bool {
            let size = size.min(self.layout.size());
            self.bytes()[..size] == vec![self.name; size]
        }

        fn resize(self, memory: &Memory, size: usize) -> Self {
            assert!(self.is_whole(usize::MAX));
            // SAFETY: it is of this memory, and the size is not zero.
            let at = unsafe { memory.realloc(self.at, self.layout, size) };
            let layout = Layout::from_size_align(size, self.layout.align()).expect("a layout");
            assert!(!at.is_null());
            let kept = self.layout.size().min(size);
            // SAFETY: the object has that many bytes; those that are new have not been written.
            unsafe { at.add(kept).write_bytes(self.name, size - kept) };
            let object = Self { at, layout, ..self };
            assert!(object.is_whole(kept));
            object
        }

        fn free(self, memory: &Memory) {
            assert!(self.is_whole(usize::MAX));
            // SAFETY: it is of this memory, and nobody uses it any more.
            unsafe { memory.dealloc(self.at, self.layout) };
        }
    }

    #[test]
    fn what_is_in_an_object_stays_in_it_whatever_becomes_of_others() {
        // Miri takes a thousand times as long.
        let (rounds, steps) = if cfg!(miri) { (2, 60) } else { (50, 2000) };
        for round in 0..rounds {
            let memory = Memory(Region::empty());
            let mut living: Vec<Object> = Vec::new();
            let mut state = round;
            for step in 0..steps {
                // Source: Knuth, MMIX.
                state = 6_364_136_223_846_793_005_u64
                    .wrapping_mul(state)
                    .wrapping_add(1_442_695_040_888_963_407);
                let chance = (state >> 33) as usize;
                let size = match chance % 16 {
                    0 => LARGE - 1 + chance / 64 % 3,
                    _ => 1 + chance / 64 % 700,
                };
                let which = chance / 7 % living.len().max(1);
                match chance / 16 % 4 {
                    0 if !living.is_empty() => living.swap_remove(which).free(&memory),
                    1 if !living.is_empty() => {
                        let object = living.swap_remove(which);
                        living.push(object.resize(&memory, size));
                    }
                    _ => {
                        let align = 1 << (chance / 8 % 7);
                        living.push(Object::new(&memory, size, align, step as u8));
                    }
                }
            }
            living.into_iter().for_each(|object| object.free(&memory));
        }
    }

    #[test]
    fn what_no_page_is_aligned_to_is_refused() {
        let memory = Memory(Region::empty());
        let layout = Layout::from_size_align(1, 2 * ALIGNED).expect("a layout");
        // SAFETY: the size is not zero.
        assert!(unsafe { memory.alloc(layout) }.is_null());
    }
}
