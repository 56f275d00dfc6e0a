#include "processor.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdint.h>

/* The state that the operating system keeps for each thread, by XGETBV: without it, wide registers would be
 * lost whenever another thread runs. */
static uint32_t kept_state(void) {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* Intel's manual, volume 2A, CPUID: leaf 1 ECX; leaf 7 EBX and ECX; leaf 7.1 EAX. */
int processor_has(enum feature feature) {
    enum { FMA = 1 << 12, OSXSAVE = 1 << 27, F16C = 1 << 29 };
    enum { HAS_AVX_VNNI = 1 << 4, HAS_AVX2 = 1 << 5 };
    enum { AVX512F = 1 << 16, AVX512DQ = 1 << 17, AVX512BW = 1 << 30 };
    enum { HAS_AVX512_VNNI = 1 << 11, YMM = 0x06, ZMM = 0xE6 };
    const uint32_t AVX512VL = 1u << 31, avx512 = AVX512F | AVX512DQ | AVX512BW | AVX512VL;
    uint32_t a, b, c, d, leaf1, unused;
    if (!__get_cpuid(1, &a, &b, &leaf1, &d) || !(leaf1 & OSXSAVE) || !(leaf1 & FMA)) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & HAS_AVX2)) return 0;
    if ((kept_state() & YMM) != YMM) return 0;
    if (feature == AVX2) return 1;
    if (feature == AVX_VNNI) return __get_cpuid_count(7, 1, &a, &unused, &unused, &d) && a & HAS_AVX_VNNI;
    return feature == AVX512_VNNI && (kept_state() & ZMM) == ZMM && (b & avx512) == avx512 &&
           (c & HAS_AVX512_VNNI);
}

#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

int processor_has(enum feature feature) {
    if (feature == DOT_PRODUCT) return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
    return feature == INT8_MATRIX && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
}

#elif defined(__aarch64__) && defined(__APPLE__)
#include <stddef.h>
#include <sys/sysctl.h>

static int is_set(const char *name) {
    int found = 0;
    size_t size = sizeof found;
    return sysctlbyname(name, &found, &size, NULL, 0) == 0 && found;
}

int processor_has(enum feature feature) {
    if (feature == DOT_PRODUCT) return is_set("hw.optional.arm.FEAT_DotProd");
    return feature == INT8_MATRIX && is_set("hw.optional.arm.FEAT_I8MM");
}

#else

int processor_has(enum feature feature) {
    (void)feature;
    return 0;
}

#endif
