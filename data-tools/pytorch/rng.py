"""The numpy twin of `src/runtime/rng.rs`: the same streams, the same bits."""

import numpy as np

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def _mix(z):
    """The finaliser of SplitMix64 on one Python integer."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def _mix_array(z):
    """The same on a numpy array of uint64 (multiplication wraps)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Rng:
    """A stream of random numbers. Every method takes how many draws to make."""

    def __init__(self, seed, keys=()):
        self.key = _mix((seed + GOLDEN) & MASK)
        for k in keys:
            self.key = _mix(self.key ^ _mix((k + GOLDEN) & MASK))
        self.counter = 0

    @classmethod
    def named(cls, seed, name):
        """The stream of `seed` for what `name` names (FNV-1a of its bytes is the key)."""
        h = 0xCBF29CE484222325
        for b in name.encode():
            h = ((h ^ b) * 0x100000001B3) & MASK
        return cls(seed, [h])

    def next_u64(self, n):
        """The next `n` draws of 64 bits."""
        counters = np.arange(self.counter + 1, self.counter + 1 + n, dtype=np.uint64)
        self.counter += n
        return _mix_array(np.uint64(self.key) + counters * np.uint64(GOLDEN))

    def uniform(self, n):
        """`n` float32 in [0, 1), multiples of 2^-24."""
        return (self.next_u64(n) >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)

    def below(self, n, bound):
        """`n` integers in 0..bound (multiply-shift on 128 bits)."""
        return [(int(x) * bound) >> 64 for x in self.next_u64(n)]


if __name__ == "__main__":
    # The reference implementation's first outputs from state 0, as in rng.rs.
    zero = Rng(0)
    zero.key = 0
    assert [hex(x) for x in zero.next_u64(2)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4"]
    print("rng: known values match; named(1, 'conv1.weight') starts", Rng.named(1, "conv1.weight").uniform(3))
