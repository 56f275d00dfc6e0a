/* Intel's intrinsics as plain C, for a processor that lacks them: this directory comes before the compiler's. */
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>

/* What SIMDe 0.7 has not. */
#define _mm256_dpbusd_avx_epi32(sum, a, b) simde_mm256_dpbusd_epi32(sum, a, b)

static inline simde__m512i _mm512_cvtepu16_epi32(simde__m256i numbers) {
    simde__m512i_private wide;
    simde__m256i_private narrow = simde__m256i_to_private(numbers);
    for (int i = 0; i < 16; i++) wide.i32[i] = narrow.u16[i];
    return simde__m512i_from_private(wide);
}

static inline simde__m512 _mm512_cvtepi32_ps(simde__m512i numbers) {
    simde__m512_private floats;
    simde__m512i_private whole = simde__m512i_to_private(numbers);
    for (int i = 0; i < 16; i++) floats.f32[i] = (float)whole.i32[i];
    return simde__m512_from_private(floats);
}
