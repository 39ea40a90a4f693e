// Names for the exports of files that are compiled once for each instruction set: OLIFT_FOR_ISA(f) can be f_avx2.
#pragma once

#define OLIFT_JOIN_NAMES(name, isa) name##_##isa
#define OLIFT_NAME_FOR(name, isa) OLIFT_JOIN_NAMES(name, isa)
#define OLIFT_FOR_ISA(name) OLIFT_NAME_FOR(name, OLIFT_ISA)
