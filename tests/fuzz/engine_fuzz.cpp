// Frames, host events, time and scarcity of chunks in any order, against the whole core.

#include "tests/fuzz/world.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    pasta::fuzz::Input input({data, size});
    pasta::fuzz::World world(input);
    world.run();
    return 0;
}
