// Memory for what calls compute with: blocks that are kept and taken again instead of going back to the system's allocator.
//
// A call takes and gives back hundreds of pieces, the same sizes every time, each aligned to 64 bytes. To do that the system's allocator
// cuts pieces up and joins them again: a twentieth of a call in a fresh process, and where its lists are long (four models of
// `exact-1`'s kind in one `bench`) half of one. Here a size is looked up, and what was given back last, still in the
// processor's caches, is taken first.
//
// libtorch has an allocator that keeps, too (c10/mobile): it has no limit, cannot be emptied, and says that it is for phones only.
//
// Only what is taken while an inference guard lives (`unbound.cpp`) is kept: a host that shares this libtorch has its memory as before.
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <mutex>
#include <new>
#include <unordered_map>

namespace {

// Larger pieces are of passes over whole clips, which no call of a stream makes.
constexpr std::size_t LARGEST_BYTES = std::size_t{32} << 20;
// All that lies idle. Beyond it blocks go back to the system.
constexpr std::size_t MOST_IDLE_BYTES = std::size_t{256} << 20;
constexpr std::size_t SMALLEST_BYTES = 64;
// Sizes of blocks between one power of two and the next: batches of few and of many streams then take one another's.
constexpr unsigned STEPS = 4;

thread_local int num_guards = 0;

// The number of the smallest size of block that holds `bytes`, and that size.
struct Size {
  unsigned idx;
  std::size_t bytes;
};

Size size_for(std::size_t bytes) {
  const std::size_t wanted = std::max(bytes, SMALLEST_BYTES) - 1;
  unsigned power = 0;
  while (wanted >> power > 1) ++power;
  const std::size_t step = (std::size_t{1} << power) / STEPS;
  const std::size_t above = (wanted - (std::size_t{1} << power)) / step + 1;
  return {power * STEPS + static_cast<unsigned>(above), (std::size_t{1} << power) + above * step};
}

class Blocks final : public c10::Allocator {
 public:
  explicit Blocks(c10::Allocator* system) : system_(system) {}

  c10::DataPtr allocate(std::size_t bytes) override {
    if (num_guards == 0 || bytes == 0 || bytes > LARGEST_BYTES) return system_->allocate(bytes);
    const Size size = size_for(bytes);
    void* block = idle(size);
    if (block == nullptr) block = taken(size);
    return {block, block, &give_back, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }

  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }

  std::size_t idle_bytes() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return idle_bytes_;
  }

  static Blocks* get() {
    // Never ended: blocks are given back until the process ends.
    static Blocks* const blocks = new Blocks(c10::GetCPUAllocator());
    return blocks;
  }

 private:
  // What an idle block begins with: another one of its size, so that to give one back takes no memory.
  struct Idle {
    Idle* next;
  };

  void* idle(Size size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return idle_[size.idx] == nullptr ? nullptr : pop(size);
  }

  Idle* pop(Size size) {
    Idle* const block = idle_[size.idx];
    idle_[size.idx] = block->next;
    idle_bytes_ -= size.bytes;
    return block;
  }

  void* taken(Size size) {
    void* const block = c10::alloc_cpu(size.bytes);
    try {
      const std::lock_guard<std::mutex> lock(mutex_);
      // What was known of this place is over, if another allocator gave a block of ours back to the system.
      sizes_.insert_or_assign(block, size);
    } catch (...) {
      c10::free_cpu(block);
      throw;
    }
    return block;
  }

  // On whatever thread the last tensor in it ends. What was not taken here is the system's: oneDNN gives back what it took before.
  static void give_back(void* block) {
    Blocks& self = *get();
    Idle* superfluous = nullptr;
    bool is_known = false;
    {
      const std::lock_guard<std::mutex> lock(self.mutex_);
      const auto found = self.sizes_.find(block);
      is_known = found != self.sizes_.end();
      if (is_known) {
        const Size size = found->second;
        self.idle_[size.idx] = new (block) Idle{self.idle_[size.idx]};
        self.idle_bytes_ += size.bytes;
        superfluous = self.beyond_most();
      }
    }
    if (!is_known) {
      if (const auto free = self.system_->raw_deleter()) free(block);
    }
    // Not under the lock: the system may take its time with large ones.
    while (superfluous != nullptr) {
      Idle* const next = superfluous->next;
      c10::free_cpu(superfluous);
      superfluous = next;
    }
  }

  // What lies idle beyond the limit, and is no longer known here: of one size after the other, so that those of a model that is gone make
  // room for those of one that runs.
  Idle* beyond_most() {
    Idle* superfluous = nullptr;
    while (idle_bytes_ > MOST_IDLE_BYTES) {
      turn_ = (turn_ + 1) % idle_.size();
      if (idle_[turn_] == nullptr) continue;
      const auto known = sizes_.find(idle_[turn_]);
      Idle* const block = pop(known->second);
      sizes_.erase(known);
      block->next = superfluous;
      superfluous = block;
    }
    return superfluous;
  }

  c10::Allocator* const system_;
  std::mutex mutex_;
  // Of all blocks that were taken from the system, idle or not.
  std::unordered_map<void*, Size> sizes_;
  // Of each size the block that was given back last.
  std::array<Idle*, 64 * STEPS + STEPS + 1> idle_{};
  std::size_t idle_bytes_ = 0;
  // The size that gave a block to the system last.
  std::size_t turn_ = 0;
};

}  // namespace

// Once, before the first call.
extern "C" void underscore_keep_blocks() {
  static std::once_flag once;
  std::call_once(once, [] { c10::SetCPUAllocator(Blocks::get()); });
}

// What lies idle; for the tests, because the system's allocator need not give back to the system what it was given.
extern "C" std::size_t underscore_idle_bytes() { return Blocks::get()->idle_bytes(); }

void underscore_count_guards(int change) { num_guards += change; }
