// What the forward and the backward of banded attention share: how frames are laid out, and in which order.
//
// A stream is one (batch, joint, head) over some consecutive frames. L streams advance in lockstep, one in each lane of
// a vector, so that the band costs no arithmetic on pairs outside of it and no sums across lanes: a query meets a key
// in one multiply-add for each channel, whatever the offset between them. Heads of a joint lie next to each other in
// memory, so the L rows of a frame are mostly one run of bytes. Long sequences, and short batches, are cut into several
// streams along time; each reads the frames around it as well.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <type_traits>

#include "attention/banded.h"
#include "attention/banded_elements.h"
#include "attention/banded_tiles.h"
#include "common/simd.h"

namespace {

using olift::AttentionShape;
using olift::Banded;
using olift::kBatch, olift::kFrame, olift::kHead, olift::kJoint;
using olift::Tensor;

constexpr int64_t kFar = std::numeric_limits<int64_t>::max() / 4;
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;  // scores are in powers of two: exp takes fewer steps then

// How the work is cut: `segments` streams of `frames` frames for each (batch, joint, head). It depends on the sizes
// alone.
struct Plan {
  Plan(const AttentionShape& shape, int64_t left_window, int64_t right_window, int lanes)
      : left(std::min(left_window, shape.frames - 1)),
        right(std::min(right_window, shape.frames - 1)),
        offsets(left + right + 1),
        rows(shape.batch * shape.joints * shape.heads) {
    constexpr int64_t kLongest = 512, kShortest = 64, kGroups = 16;
    const int64_t most = std::max<int64_t>(1, shape.frames / std::max(kShortest, 4 * offsets));
    const int64_t wanted = std::max((shape.frames + kLongest - 1) / kLongest, (kGroups * lanes + rows - 1) / rows);
    const int64_t cuts = std::min(most, wanted);
    frames = (shape.frames + cuts - 1) / cuts;
    segments = (shape.frames + frames - 1) / frames;
    groups = (segments * rows + lanes - 1) / lanes;
  }

  // As many as have something to do: starting one costs as much as some 10^5 multiply-adds.
  int threads(const AttentionShape& shape, int most, int lanes) const {
    const int64_t work = groups * lanes * frames * std::min(offsets, shape.frames) * shape.width * 2;
    return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>({most, groups, work >> 17})));
  }

  int64_t left, right, offsets;
  int64_t rows, segments, frames, groups;
};

// The L streams of one group. Frame i of the group is frame start[l] + i of the sequence in lane l.
template <int L>
struct Group {
  Group(const Banded& args, const Plan& plan, int64_t index) {
    const AttentionShape& shape = args.shape;
    for (int l = 0; l < L; ++l) {
      const int64_t stream = index * L + l;
      const int64_t row = stream % plan.rows;
      const bool used = stream < plan.rows * plan.segments;
      start[l] = used ? stream / plan.rows * plan.frames : 0;
      batch[l] = row / (shape.joints * shape.heads);
      joint[l] = row / shape.heads % shape.joints;
      head[l] = row % shape.heads;
      length[l] = (!used ? 0 : args.lengths ? std::min(shape.frames, args.lengths[batch[l]]) : shape.frames) - start[l];
      own[l] = used ? std::min(plan.frames, shape.frames - start[l]) : 0;
      visible[l] = !args.visible
                       ? nullptr
                       : args.visible + batch[l] * args.visible.strides[kBatch] +
                             start[l] * args.visible.strides[kFrame] + joint[l] * args.visible.strides[kJoint];
      all_own_to = std::min(all_own_to, own[l]);
      before = std::max(before, start[l]);
      all_from = std::max(all_from, -start[l]);
      all_to = std::min(all_to, length[l]);
      if (used) after = std::max(after, shape.frames - start[l]);
    }
    visible_step = args.visible.strides[kFrame];
    for (int l = 0; args.visible && l < L; ++l) {
      if (l == 0 || visible[l] != visible[l - 1]) {
        run_first[runs] = l;
        run_lanes[runs++] = IntVec<L>{};
      }
      run_lanes[runs - 1][l] = -1;
    }
    in_a_row = batch[0] == batch[L - 1] && start[0] == start[L - 1] && own[L - 1] > 0;
  }

  bool all_exist(int64_t i) const { return i >= all_from && i < all_to; }
  bool exists(int lane, int64_t i) const { return i >= -start[lane] && i < length[lane]; }
  // The lanes in which frame i has a key to be seen; `all` tells whether those are all of them.
  IntVec<L> holding_keys(int64_t i, bool& all) const {
    IntVec<L> mask = existing(i);
    all = all_exist(i);
    for (int run = 0; run < runs && all_exist(i); ++run) {
      if (visible[run_first[run]][i * visible_step]) continue;
      mask &= ~run_lanes[run];
      all = false;
    }
    for (int l = 0; l < L && runs && !all_exist(i); ++l) {
      if (mask[l] && !visible[l][i * visible_step]) mask[l] = 0;
    }
    return mask;
  }
  IntVec<L> existing(int64_t i) const {
    IntVec<L> mask = ~IntVec<L>{};
    if (!all_exist(i)) {
      for (int l = 0; l < L; ++l) mask[l] = exists(l, i) ? -1 : 0;
    }
    return mask;
  }
  // Whether frame i of that lane is a frame of its stream, to be written by it and by no other.
  bool owns(int lane, int64_t i) const { return i >= 0 && i < own[lane]; }
  bool all_own(int64_t i) const { return i >= 0 && i < all_own_to; }

  // Frame i of the group in a tensor (B, T, J, H) of floats: all lanes where all exist, else those that do or are
  // owned.
  Vec<L> load_queries(const AttentionShape& shape, const float* from, int64_t i, float absent) const {
    if (in_a_row && all_exist(i)) return load<L>(from + query_index(shape, 0, i));
    Vec<L> values = splat<L>(absent);
    for (int l = 0; l < L; ++l) {
      if (exists(l, i)) values[l] = from[query_index(shape, l, i)];
    }
    return values;
  }
  void store_queries(const AttentionShape& shape, float* to, int64_t i, Vec<L> values) const {
    if (in_a_row && all_own(i)) return store<L>(to + query_index(shape, 0, i), values);
    for (int l = 0; l < L; ++l) {
      if (owns(l, i)) to[query_index(shape, l, i)] = values[l];
    }
  }

  int64_t query_index(const AttentionShape& shape, int lane, int64_t i) const {  // in (B, T, J, H)
    return ((batch[lane] * shape.frames + start[lane] + i) * shape.joints + joint[lane]) * shape.heads + head[lane];
  }

  int64_t all_from = -kFar, all_to = kFar;  // in every lane frames exist from here up to there
  int64_t all_own_to = kFar;
  bool in_a_row;                  // the lanes' (joint, head) follow each other within one clip
  int64_t before = 0, after = 0;  // in some lane frames exist from -before up to `after`
  int64_t start[L], length[L], own[L], batch[L], joint[L], head[L];
  const bool* visible[L];
  int64_t visible_step;
  int runs = 0, run_first[L];  // of lanes with the same mask, the heads of a joint; none without masks
  IntVec<L> run_lanes[L];
};

// Where the rows of a group lie in one tensor.
template <int L>
struct Rows {
  Rows(const Tensor& x, const Group<L>& group) : step(x.strides[kFrame] * size_of(x.dtype)) {
    for (int l = 0; l < L; ++l) {
      const int64_t first =
          group.batch[l] * x.strides[kBatch] + group.joint[l] * x.strides[kJoint] + group.head[l] * x.strides[kHead];
      origin[l] = static_cast<const char*>(x.data) + first * size_of(x.dtype) + group.start[l] * step;
    }
    gap = origin[1] - origin[0];
    for (int l = 0; l < L; ++l) even &= origin[l] == origin[l / 4 * 4] + l % 4 * gap;
  }
  const char* at(int lane, int64_t i) const { return origin[lane] + i * step; }
  Scattered<L> all_at(int64_t i) const {
    Scattered<L> rows;
    for (int l = 0; l < L; ++l) rows.row[l] = at(l, i);
    return rows;
  }
  Even<L> evenly_at(int64_t i) const {
    Even<L> rows;
    for (int run = 0; run < L / 4; ++run) rows.run[run] = at(4 * run, i);
    rows.gap = gap;
    return rows;
  }

  const char* origin[L];
  int64_t step, gap;
  bool even = true;
};

// Asks for rows of N tensors ahead of their use, a few at a time in between the arithmetic: asked for all at once they
// would wait for each other, and the arithmetic for them.
template <int L, int N>
class Ahead {
 public:
  // Rows of one tensor up to frame `end`, then those of the group that comes next; it runs `shift` frames before the
  // count.
  struct Stream {
    Rows<L> rows, next;
    int64_t end, shift;
  };

  Ahead(int64_t bytes, const std::array<Stream, N>& streams) : bytes_(bytes), streams_(streams) {}

  // From here on, frames from `from` up to `end` may be asked for; what was forgotten before them stays so.
  void aim(int64_t from, int64_t end) {
    if (from > frame_) move_to(from);
    end_ = end;
  }

  // A row of each tensor, `count` times.
  inline __attribute__((always_inline)) void ask(int count) {
    for (; count > 0 && frame_ < end_; --count) {
      for (int n = 0; n < N; ++n) {
        const char* row = origins_[n][lane_] + along_[n];
        for (int64_t byte = 0; byte < bytes_; byte += 64) __builtin_prefetch(row + byte, 0, 2);
      }
      if (++lane_ == L) move_to(frame_ + 1);
    }
  }
  OLIFT_APART void ask_for_the_rest() { ask(std::numeric_limits<int>::max()); }

 private:
  void move_to(int64_t frame) {
    frame_ = frame;
    lane_ = 0;
    for (int n = 0; n < N; ++n) {
      const Stream& stream = streams_[static_cast<size_t>(n)];
      const int64_t i = frame + stream.shift;
      const bool own = i < stream.end;
      origins_[n] = own ? stream.rows.origin : stream.next.origin;
      along_[n] = own ? i * stream.rows.step : (i - stream.end) * stream.next.step;
    }
  }

  int64_t bytes_, frame_ = -kFar, end_ = -kFar;
  int lane_ = 0;
  std::array<Stream, N> streams_;
  const char* const* origins_[N];
  int64_t along_[N];
};

// Floats that start at a cache line, for several uses one after the other.
class Memory {
 public:
  explicit Memory(int64_t count) : held_(new float[static_cast<size_t>(count + kLine)]), next_(held_.get()) {}

  float* take(int64_t count) {
    float* taken = next_ + (kLine - reinterpret_cast<uintptr_t>(next_) / sizeof(float) % kLine) % kLine;
    next_ = taken + count;
    return taken;
  }

  static constexpr int64_t kLine = 16;

 private:
  std::unique_ptr<float[]> held_;
  float* next_;
};

// Consecutive frames of a group, transposed: one channel of the L streams is a vector, and P channels of consecutive
// frames lie next to each other in a panel, so that a stretch of frames fits in the first-level cache however wide they
// are. Frames slide through: `reach` of them are held at a time, with a slot to spare on either side.
template <int L, int P>
class Frames {
 public:
  static int64_t floats(int64_t panels, int64_t reach, int64_t vectors = P) {
    return panels * (reach + 2) * vectors * L + Memory::kLine;
  }

  Frames(Memory& memory, int64_t panels, int64_t reach, int64_t vectors = P)
      : data_(memory.take(panels * (reach + 2) * vectors * L)), panels_(panels), reach_(reach), step_(vectors * L) {}

  float* at(int64_t panel, int64_t i) { return data_ + (panel * (reach_ + 2) + i - first_ + 1) * step_; }
  int64_t end() const { return end_; }

  void restart(int64_t i) { first_ = end_ = i; }

  // Makes room for the frames up to `end`; of those held so far, only the ones from `keep` on are needed.
  void slide(int64_t keep, int64_t end) {
    if (end - first_ > reach_) {
      const int64_t kept = std::max<int64_t>(0, end_ - keep);
      for (int64_t panel = 0; kept && panel < panels_; ++panel) {
        std::memmove(at(panel, first_), at(panel, keep), static_cast<size_t>(kept * step_) * sizeof(float));
      }
      first_ = keep;
    }
    end_ = std::max(end_, end);
  }

  // Transposes L rows of memory in as frame i, times a factor.
  template <class Places>
  void put(int64_t i, const Places& rows, Dtype dtype, int64_t width, float factor) {
    if (dtype == Dtype::kBFloat16) put_rows<BFloat16, true>(i, rows, width, factor);
    else if (factor == 1.0f) put_rows<float, false>(i, rows, width, factor);
    else put_rows<float, true>(i, rows, width, factor);
  }

 private:
  template <class Element, bool Scaled, class Places>
  void put_rows(int64_t i, const Places& rows, int64_t width, float factor) {
    for (int64_t first = 0; first < width; first += P) {
      float* to = at(first / P, i);
      const int64_t channels = std::min<int64_t>(P, width - first);
      for (int64_t c = 0; c < channels; c += 4) {
        Vec<L> quad[4];
        if (c + 4 <= channels) load_channels<L, Element>(rows, first + c, 4, quad);
        else load_channels<L, Element>(rows, first + c, static_cast<int>(channels - c), quad);
        for (int j = 0; j < 4; ++j) store<L>(to + (c + j) * L, Scaled ? quad[j] * factor : quad[j]);
      }
    }
  }

  float* data_;
  int64_t panels_, reach_, step_;
  int64_t first_ = 0, end_ = 0;
};

// Frames of queries up to `end`, zeros (taken from `zeros`) where they do not exist.
template <int L, int P>
OLIFT_APART void take_queries(Frames<L, P>& frames, const Group<L>& group, const Rows<L>& rows, int64_t keep,
                              int64_t end, Dtype dtype, int64_t width, const float* zeros, float factor) {
  const int64_t from = frames.end();
  frames.slide(keep, end);
  for (int64_t i = from; i < end; ++i) {
    if (rows.even && group.all_exist(i)) {
      frames.put(i, rows.evenly_at(i), dtype, width, factor);
      continue;
    }
    Scattered<L> row = rows.all_at(i);
    for (int l = 0; l < L; ++l) {
      if (!group.exists(l, i)) row.row[l] = reinterpret_cast<const char*>(zeros);
    }
    frames.put(i, row, dtype, width, factor);
  }
}

// Which keys of the frames up to `end` are there to be seen, a mask a lane. `gap` moves to the latest frame in which
// some lane has none.
template <int L>
OLIFT_INLINE void find_keys(Frames<L, 1>& held, const Group<L>& group, int64_t keep, int64_t end, int64_t& gap) {
  const int64_t from = held.end();
  held.slide(keep, end);
  for (int64_t i = from; i < end; ++i) {
    bool all;
    const IntVec<L> mask = group.holding_keys(i, all);
    if (!all) gap = i;
    std::memcpy(held.at(0, i), &mask, sizeof(mask));
  }
}

// Frames of keys, or of their values, up to `end`; zeros for those that are not `held`.
template <int L, int P>
OLIFT_APART void take_keys(Frames<L, P>& frames, Frames<L, 1>& held, const Rows<L>& rows, int64_t keep, int64_t end,
                           Dtype dtype, int64_t width, const float* zeros) {
  const IntVec<L> whole = ~IntVec<L>{};
  const int64_t from = frames.end();
  frames.slide(keep, end);
  for (int64_t i = from; i < end; ++i) {
    IntVec<L> mask;
    std::memcpy(&mask, held.at(0, i), sizeof(mask));
    if (rows.even && std::memcmp(&mask, &whole, sizeof(mask)) == 0) {
      frames.put(i, rows.evenly_at(i), dtype, width, 1.0f);
      continue;
    }
    Scattered<L> row = rows.all_at(i);
    for (int l = 0; l < L; ++l) {
      if (!mask[l]) row.row[l] = reinterpret_cast<const char*>(zeros);
    }
    frames.put(i, row, dtype, width, 1.0f);
  }
}

// Writes frames i … i + Q - 1 of the group's streams: norm times a sum of `rows` over a span of frames that begins at
// `origin` (banded_tiles.h says of which), 0 where not alive. `nowhere` takes what the streams do not own.
template <int L, int P, int Q, int N>
OLIFT_APART void write_sums(const Group<L>& group, const Rows<L>& to, int64_t i, Dtype dtype, int64_t width,
                            const float* weights, int64_t across, int64_t along, Frames<L, P>& rows, int64_t origin,
                            const Span (&spans)[Q], const Vec<L>* norms, const IntVec<L>* alive, float* nowhere,
                            Ahead<L, N>& ahead, int asked) {
  const bool even = to.even && group.all_own(i) && group.all_own(i + Q - 1);
  Even<L> evenly[Q] = {};
  Scattered<L> row[Q];
  for (int a = 0; a < Q; ++a) {
    if (even) {
      evenly[a] = to.evenly_at(i + a);
      continue;
    }
    row[a] = to.all_at(i + a);
    for (int l = 0; l < L; ++l) {
      if (!group.owns(l, i + a)) row[a].row[l] = reinterpret_cast<char*>(nowhere);
    }
  }
  for (int64_t c = 0; c < width; c += 4) {
    Vec<L> sums[Q][4];
    band_sums<L, P * L, Q>(weights, across, along, rows.at(c / P, origin) + c % P * L, spans, sums);
#pragma GCC unroll 2
    for (int a = 0; a < Q; ++a) {
      Vec<L> values[4];
      for (int j = 0; j < 4; ++j) values[j] = alive[a] ? sums[a][j] * norms[a] : Vec<L>{};
      if (even) put_channels<L>(evenly[a], dtype, c, width, values);
      else put_channels<L>(row[a], dtype, c, width, values);
    }
    ahead.ask(asked);
  }
}

// The bias of each offset times a factor, a stream a lane; 0 without one.
template <int L>
void take_bias(const Group<L>& group, const Plan& plan, const float* bias, int64_t left, int64_t window, float factor,
               float* to) {
  for (int64_t o = 0; o < plan.offsets; ++o) {
    for (int l = 0; l < L; ++l) {
      to[o * L + l] = bias ? bias[group.head[l] * window + left - plan.left + o] * factor : 0.0f;
    }
  }
}

// Calls run(lanes, channels in a panel) with the compile-time numbers that suit the head width.
template <class Run>
OLIFT_INLINE void for_width(int64_t width, const Run& run) {
  constexpr int L = kNativeLanes;
  constexpr int Most = L > 8 ? 16 : 32;  // a panel of 17 frames is 17 KB then
  const std::integral_constant<int, L> lanes;
  if (width <= 8) return run(lanes, std::integral_constant<int, 8>{});
  if (width <= 16) return run(lanes, std::integral_constant<int, 16>{});
  return run(lanes, std::integral_constant<int, Most>{});
}

}  // namespace
