/* SPDX-License-Identifier: Apache-2.0 */
/* shortest.cpp - what only the C++ library has: shortest texts of numbers, and a say in how a
 * process that DuckDB's own exceptions or memory needs bring down takes its leave.
 */
#include <charconv>
#include <cstddef>
#include <exception>
#include <new>

extern "C" {
size_t tr_shortest_double(double value, char *to);
size_t tr_shortest_float(float value, char *to);
void tr_on_engine_failure(void (*no_memory)(void), void (*terminated)(void));
}

extern "C" size_t tr_shortest_double(double value, char *to)
{
    return static_cast<size_t>(std::to_chars(to, to + 32, value).ptr - to);
}

extern "C" size_t tr_shortest_float(float value, char *to)
{
    return static_cast<size_t>(std::to_chars(to, to + 32, value).ptr - to);
}

extern "C" void tr_on_engine_failure(void (*no_memory)(void), void (*terminated)(void))
{
    std::set_new_handler(no_memory);
    std::set_terminate(terminated);
}
