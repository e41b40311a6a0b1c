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

#[global_allocator]
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
