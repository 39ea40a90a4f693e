// Names what a file that is compiled once for each instruction set exports: OLIFT_FOR_ISA(f) is f_avx2, say.
#pragma once

#define OLIFT_JOIN_NAMES(name, isa) name##_##isa
#define OLIFT_NAME_FOR(name, isa) OLIFT_JOIN_NAMES(name, isa)
#define OLIFT_FOR_ISA(name) OLIFT_NAME_FOR(name, OLIFT_ISA)
