// Philox words in bulk, and the 16-bit draws behind dropout decisions. It must not know who uses them.
// Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.

struct PhiloxKey {
    uint64_t seed;
    uint32_t stream, step;
};

template <int Rounds>
FR_LOOP void philox_group(const PhiloxKey& k, uint32_t block_lo, uint32_t block_hi, unsigned char* out) {
    U32 ctr[4] = {U32::iota(block_lo), U32::set(block_hi), U32::set(k.stream), U32::set(k.step)};
    rules::philox4x32<Rounds>(ctr, uint32_t(k.seed), uint32_t(k.seed >> 32));
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
        for (; j < grouped; j += U32::L) philox_group<Rounds>(k, uint32_t(block) + uint32_t(j - i), hi, out + 16 * j);
        for (; j < stop; ++j) {  // a group would wrap: one block at a time
            unsigned char group[16 * U32::L];
            philox_group<Rounds>(k, uint32_t(block) + uint32_t(j - i), hi, group);
            __builtin_memcpy(out + 16 * j, group, 16);
        }
        i = j;
    }
}

// The draws of a flat array, a window at a time: at(i, n) points at the draws of elements i .. i + n, n <= kWindow.
// Vectors may read V::L draws from any of them.
class Draws {
public:
    static constexpr int64_t kWindow = 1024;

    FR_LOOP explicit Draws(const DropoutSpec& d) : key_{d.seed, d.stream, d.step} {}

    // expect: the end of the elements that will be asked for next; nothing beyond it is made in advance.
    FR_LOOP const uint16_t* at(int64_t i, int64_t n, int64_t expect) {
        if (i < begin_ || i + n > end_) fill(i, n, expect);
        return buffer_ + (i - begin_);
    }

private:
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

void dropout_mask(int64_t n, const DropoutSpec& d, bool packed, uint8_t* mask) {
    constexpr int64_t kUnit = 8192;
    const int64_t units = (n + kUnit - 1) / kUnit, parts = cpu::threads_for(units, 4);
    auto part = [&](int64_t p) {
        int64_t begin, end;
        cpu::cut(n, kUnit, parts, p, &begin, &end);
        Draws draws(d);
        for (int64_t i = begin; i < end; i += 8) {
            const int count = end - i < 8 ? int(end - i) : 8;
            const uint16_t* u = draws.at(d.first + i, count, d.first + end);
            uint8_t byte = 0;
            for (int j = 0; j < count; ++j) {
                const uint8_t kept = u[j] < d.keep;
                if (packed)
                    byte = uint8_t(byte | kept << j);
                else
                    mask[i + j] = kept;
            }
            if (packed) mask[i / 8] = byte;
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
