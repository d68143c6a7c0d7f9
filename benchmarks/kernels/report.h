// Prints results as an aligned Markdown table and keeps them as JSON. It must not know how they came about.
#pragma once
#include <string>
#include <vector>

#include "case.h"
#include "ceilings.h"

namespace fastreg {

struct Result {
    std::string isa;
    int threads;
    std::string kernel, dtype, size;
    Work work;
    Timing timing;
    const char* bound;
    Error error;
};

void print_ceilings(const std::string& isa, int threads, Ceilings& ceilings);
void print_header();
void print_result(const Result& r);
// False where the file cannot be written.
bool write_json(const std::string& path, const std::vector<Result>& results);

}  // namespace fastreg
