// Philox words in bulk, and the 16-bit draws behind dropout decisions. It must not know who uses them.
// Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.

struct PhiloxKey {
    uint64_t seed;
    uint32_t stream, step;
};

template <int Rounds, class Between>
FR_LOOP void philox_group(const PhiloxKey& k, uint32_t block_lo, uint32_t block_hi, unsigned char* out,
                          Between between) {
    U32 ctr[4] = {U32::iota(block_lo), U32::set(block_hi), U32::set(k.stream), U32::set(k.step)};
    rules::philox4x32<Rounds>(ctr, uint32_t(k.seed), uint32_t(k.seed >> 32), between);
    U32::store_interleaved(ctr, out);
}

// Writes the 16 bytes of each block of [first, first + n), and up to U32::L - 1 blocks beyond: room must be there.
template <int Rounds>
void philox_fill(const PhiloxKey& of, uint64_t first, int64_t n, unsigned char* out) {
    const PhiloxKey k = of;  // a copy that no store can reach: the key of each round is worked out once
    for (int64_t i = 0; i < n;) {
        // Blocks of one high counter word go together, so that what does not depend on the low one is worked out once.
        const uint64_t block = first + uint64_t(i), before_wrap = (uint64_t(1) << 32) - uint32_t(block);
        const uint32_t hi = uint32_t(block >> 32);
        const int64_t stop = before_wrap < uint64_t(n - i) ? i + int64_t(before_wrap) : n;
        const int64_t whole = int64_t(before_wrap) / U32::L * U32::L, grouped = whole < stop - i ? i + whole : stop;
        int64_t j = i;
        for (; j < grouped; j += U32::L)
            philox_group<Rounds>(k, uint32_t(block) + uint32_t(j - i), hi, out + 16 * j, rules::Nothing());
        for (; j < stop; ++j) {  // a group would wrap: one block at a time
            unsigned char group[16 * U32::L];
            philox_group<Rounds>(k, uint32_t(block) + uint32_t(j - i), hi, group, rules::Nothing());
            __builtin_memcpy(out + 16 * j, group, 16);
        }
        i = j;
    }
}

// The draws of a flat array. at(i, n) points at those of elements i .. i + n, n <= kWindow; vectors may read V::L draws
// from any of them.
class Draws {
public:
    static constexpr int64_t kWindow = 1024;

    FR_LOOP explicit Draws(const DropoutSpec& d) : key_{d.seed, d.stream, d.step} {}

    // expect: the end of the elements that will be asked for next; nothing beyond it is made in advance.
    FR_LOOP const uint16_t* at(int64_t i, int64_t n, int64_t expect) {
        if (i < begin_ || i + n > end_) fill(i, n, expect);
        return buffer_ + (i - begin_);
    }

    // f(k, at, u): as sweep<V>() over the n elements from i on, u the draws of element i + k. Interleave: f is brief,
    // and what it does fits between the rounds of Philox. expect: as for at().
    template <class V, bool Interleave, class F>
    FR_LOOP void sweep_with(int64_t i, int64_t n, int64_t expect, F f) {
        const auto windows = [&](int64_t k, int64_t end) FR_LAMBDA {
            for (; k < end; k += kWindow) {
                const int64_t m = end - k < kWindow ? end - k : kWindow;
                const uint16_t* u = at(i + k, m, expect);
                sweep<V>(m, [&](int64_t j, auto reach) FR_LAMBDA { f(k + j, reach, u + j); });
            }
        };
        int64_t k = 0;
        if (Interleave && n >= 4 * kGroup) {
            const int64_t head = -i & (rules::kDrawsPerBlock - 1);
            windows(0, head);
            k = head + groups<V>(i + head, (n - head) / kGroup,
                                 [&](int64_t j, const uint16_t* u) FR_LAMBDA { f(head + j, Full{}, u); });
        }
        windows(k, n);
    }

private:
    static constexpr int64_t kGroup = rules::kDrawsPerBlock * U32::L;  // draws that are made at a time

    // Calls f(k, draws) for every V::L elements of n groups from i on, which begins a block: between the rounds that
    // make one group's draws those of the group before are used. Ends where the low word of the block's number would
    // wrap; returns how many elements it did.
    template <class V, class F>
    FR_LOOP int64_t groups(int64_t i, int64_t n, F f) {
        constexpr int kSlots = rules::kMaskRounds + 1, kVectors = int(kGroup) / V::L / kSlots;
        static_assert(kSlots * kVectors * V::L == kGroup, "as many vectors before the rounds as after each");
        const PhiloxKey key = key_;
        const uint64_t block = uint64_t(i) / rules::kDrawsPerBlock;
        const uint32_t lo = uint32_t(block), hi = uint32_t(block >> 32);
        const int64_t before_wrap = int64_t(((uint64_t(1) << 32) - lo) / U32::L);
        if (before_wrap < n) n = before_wrap;
        alignas(64) uint16_t draws[kGroup + 16];
        const auto make = [&](int64_t group, auto between) FR_LAMBDA {
            philox_group<rules::kMaskRounds>(key, lo + uint32_t(group * U32::L), hi,
                                             reinterpret_cast<unsigned char*>(draws), between);
        };
        const auto use = [&](int64_t group, int slot) FR_LAMBDA {
            FR_UNROLL for (int v = 0; v < kVectors; ++v) {
                const int j = (slot * kVectors + v) * V::L;
                f(group * kGroup + j, draws + j);
            }
        };
        if (n > 0) make(0, rules::Nothing());
        for (int64_t g = 1; g < n; ++g) {
            use(g - 1, 0);
            make(g, [&](int round) FR_LAMBDA { use(g - 1, round + 1); });
        }
        for (int slot = 0; n > 0 && slot < kSlots; ++slot) use(n - 1, slot);
        return n * kGroup;
    }

    void fill(int64_t i, int64_t n, int64_t expect) {
        begin_ = i / rules::kDrawsPerBlock * rules::kDrawsPerBlock;
        int64_t end = begin_ + kWindow < expect ? begin_ + kWindow : expect;
        if (end < i + n) end = i + n;
        const int64_t blocks = (end - begin_ + rules::kDrawsPerBlock - 1) / rules::kDrawsPerBlock;
        philox_fill<rules::kMaskRounds>(key_, uint64_t(begin_) / rules::kDrawsPerBlock, blocks,
                                        reinterpret_cast<unsigned char*>(buffer_));
        end_ = begin_ + blocks * rules::kDrawsPerBlock;
    }

    PhiloxKey key_;
    int64_t begin_ = 0, end_ = 0;
    // begin_ may lie 7 elements before the window, a group may run U32::L - 1 blocks and a vector 16 draws past it.
    static constexpr int64_t kRoom = kWindow + 8 + 8 * U32::L + 16;
    alignas(64) uint16_t buffer_[kRoom];
};

FR_LOOP bool drops(const DropoutSpec& d) { return d.keep < 65536; }

// Bit i of `bits`, lowest first, = bytes[i], 0 or 1. Bytes up to a multiple of 8 are overwritten.
FR_LOOP void pack_bits(uint8_t* bytes, int64_t n, uint8_t* bits) {
    for (int64_t i = n; i % 8 != 0; ++i) bytes[i] = 0;
    for (int64_t i = 0; i < n; i += 8) {
        uint64_t eight;
        __builtin_memcpy(&eight, bytes + i, 8);
        bits[i / 8] = uint8_t(eight * 0x0102040810204080u >> 56);  // byte j, the lowest first, comes to bit 56 + j
    }
}

void dropout_mask(int64_t n, const DropoutSpec& d, bool packed, uint8_t* mask) {
    constexpr int64_t kUnit = 8192;
    const int64_t units = (n + kUnit - 1) / kUnit, parts = cpu::threads_for(units, 4);
    auto part = [&](int64_t p) {
        int64_t begin, end;
        cpu::cut(n, kUnit, parts, p, &begin, &end);
        Draws draws(d);
        uint8_t kept[Draws::kWindow];
        for (int64_t i = begin; i < end; i += Draws::kWindow) {
            const int64_t m = end - i < Draws::kWindow ? end - i : Draws::kWindow;
            const uint16_t* u = draws.at(d.first + i, m, d.first + end);
            uint8_t* bytes = packed ? kept : mask + i;
            for (int64_t j = 0; j < m; ++j) bytes[j] = u[j] < d.keep;
            if (packed) pack_bits(kept, m, mask + i / 8);
        }
    };
    cpu::run(parts, part);
}

void philox(uint64_t seed, uint32_t stream, uint32_t step, uint64_t first, int64_t n, int rounds, uint32_t* out) {
    const PhiloxKey key{seed, stream, step};
    unsigned char group[2 * 16 * U32::L];  // after a wrap, what is written beyond starts anywhere
    for (int64_t i = 0; i < n; i += U32::L) {
        const int64_t count = n - i < U32::L ? n - i : U32::L;
        rounds == 7 ? philox_fill<7>(key, first + uint64_t(i), count, group)
                    : philox_fill<10>(key, first + uint64_t(i), count, group);
        __builtin_memcpy(out + 4 * i, group, size_t(16 * count));
    }
}
