#include "kernels.h"

#include <stddef.h>

extern const struct kernels kernels_avx512_vnni, kernels_avx_vnni, kernels_avx2, kernels_neon_i8mm,
    kernels_neon_dotprod, kernels_plain;

/* HAS_...: what build_library.py found that this compiler can make. */
const struct kernels *const *kernels_all(void) {
    static const struct kernels *const best_first[] = {
#ifdef HAS_AVX512_VNNI
        &kernels_avx512_vnni,
#endif
#ifdef HAS_AVX_VNNI
        &kernels_avx_vnni,
#endif
#ifdef HAS_AVX2
        &kernels_avx2,
#endif
#ifdef HAS_NEON_I8MM
        &kernels_neon_i8mm,
#endif
#ifdef HAS_NEON_DOTPROD
        &kernels_neon_dotprod,
#endif
        &kernels_plain, NULL};
    return best_first;
}

/* Of which sources this is: bindings.py compares. */
const char *kernels_sources(void) {
    return SOURCES;
}

/* Which compiler made it, as it says: another adds floats in other orders where it may. */
const char *kernels_compiler(void) {
    return __VERSION__;
}
