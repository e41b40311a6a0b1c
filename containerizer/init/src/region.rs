//! Where objects lie in a region of memory: one after the other, as numbers. Who has the memory makes
//! pointers of them.

use std::cell::Cell;

/// A region with what lies in it. Addresses are whatever the caller says they are.
#[derive(Debug, Default)]
pub struct Region {
    /// The first byte, the first that is free, and the one past the last.
    start: Cell<usize>,
    next: Cell<usize>,
    end: Cell<usize>,
    /// How many objects are in it, and in those before it.
    objects: Cell<usize>,
}

impl Region {
    /// One without room.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            start: Cell::new(0),
            next: Cell::new(0),
            end: Cell::new(0),
            objects: Cell::new(0),
        }
    }

    /// New objects go to `length` bytes from `start` on; those that are there stay where they are.
    pub fn begin(&self, start: usize, length: usize) {
        self.start.set(start);
        self.next.set(start);
        self.end.set(start + length);
    }

    /// The address of a new object of `size` bytes; `None` when there is no room. `align` is a power of
    /// two.
    pub fn place(&self, size: usize, align: usize) -> Option<usize> {
        let object = self.next.get().checked_next_multiple_of(align)?;
        let end = object.checked_add(size)?;
        if end > self.end.get() {
            return None;
        }
        self.next.set(end);
        self.objects.set(self.objects.get() + 1);
        Some(object)
    }

    /// Whether the object could be given another size where it is: the last one can, while there is room.
    pub fn resize(&self, object: usize, size: usize, new: usize) -> bool {
        let Some(end) = object.checked_add(new) else {
            return false;
        };
        let fits = self.is_last(object, size) && end <= self.end.get();
        if fits {
            self.next.set(end);
        }
        fits
    }

    /// The object is no more. Its place is free again when it was the last, or none is left.
    pub fn release(&self, object: usize, size: usize) {
        let left = self.objects.get() - 1;
        self.objects.set(left);
        if left == 0 {
            self.next.set(self.start.get());
        } else if self.is_last(object, size) {
            self.next.set(object);
        }
    }

    /// The bytes that nothing lies in, from a multiple of `align` on: address and length.
    #[must_use]
    pub fn free(&self, align: usize) -> (usize, usize) {
        let start = self.next.get().next_multiple_of(align);
        (start, self.end.get().saturating_sub(start))
    }

    /// And in this region, not in one before it.
    fn is_last(&self, object: usize, size: usize) -> bool {
        object >= self.start.get() && object + size == self.next.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence that is the same each time. Source: Knuth, MMIX.
    fn random(state: &mut u64) -> usize {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) as usize
    }

    #[test]
    fn what_lives_lies_in_a_region_and_on_nothing_else_that_lives() {
        const LENGTH: usize = 4096;
        // Miri takes a thousand times as long.
        for seed in 0..if cfg!(miri) { 2 } else { 300_u64 } {
            let mut state = seed;
            let (region, mut begun) = (Region::empty(), 0);
            let mut living: Vec<(usize, usize, usize)> = Vec::new();
            for _ in 0..200 {
                let size = 1 + random(&mut state) % 300;
                let which = random(&mut state) % living.len().max(1);
                match (random(&mut state) % 4, living.get(which).copied()) {
                    (0, Some((object, old, _))) => {
                        living.swap_remove(which);
                        region.release(object, old);
                    }
                    (1, Some((object, old, align))) if region.resize(object, old, size) => {
                        living[which] = (object, size, align);
                    }
                    _ => {
                        let align = 1 << (random(&mut state) % 7);
                        let object = region.place(size, align).unwrap_or_else(|| {
                            // Right behind the last one at times: it must not be taken for a part of it.
                            begun += 1;
                            let apart = seed as usize % 2 * 64;
                            region.begin(begun * LENGTH + apart, LENGTH - apart);
                            region.place(size, align).expect("there is room")
                        });
                        assert!(object.is_multiple_of(align));
                        living.push((object, size, align));
                    }
                }
                let mut places: Vec<_> = living.iter().map(|(at, size, _)| (*at, *size)).collect();
                places.sort_unstable();
                assert!(places.windows(2).all(|two| two[0].0 + two[0].1 <= two[1].0));
                let inside =
                    |(at, size): &(usize, usize)| *at >= LENGTH && at % LENGTH + size <= LENGTH;
                assert!(places.iter().all(inside), "{places:?}");
                let (free, length) = region.free(1);
                let apart = |(at, size): &(usize, usize)| at + size <= free || *at >= free + length;
                assert!(places.iter().all(apart), "{places:?} {free}");
            }
        }
    }

    #[test]
    fn when_nothing_is_left_all_of_it_is_free() {
        let region = Region::empty();
        region.begin(64, 64);
        let objects = [region.place(8, 8), region.place(16, 8), region.place(1, 1)];
        assert_eq!(objects, [Some(64), Some(72), Some(88)]);
        assert_eq!(region.free(32), (96, 32));
        for (object, size) in [(64, 8), (88, 1), (72, 16)] {
            region.release(object, size);
        }
        assert_eq!(region.free(1), (64, 64));
    }

    #[test]
    fn what_has_no_room_or_no_end_is_not_placed() {
        let region = Region::empty();
        assert_eq!(region.place(1, 1), None);
        region.begin(64, 64);
        for size in [65, usize::MAX] {
            assert_eq!(region.place(size, 1), None);
        }
        let object = region.place(8, 8).expect("there is room");
        assert!(!region.resize(object, 8, 65) && !region.resize(object, 8, usize::MAX));
        assert!(region.resize(object, 8, 64));
    }
}
