/* SPDX-License-Identifier: Apache-2.0 */
/* err.h - how every fallible function in Tributary reports what went wrong.
 *
 * A fallible function returns a tr_code and takes a tr_err * as its LAST parameter. The code is
 * what the program acts on; the tr_err is what a person reads. The caller owns the tr_err (on its
 * stack); it holds its text inline, so reporting an error never allocates and works when memory has
 * run out. A NULL tr_err is legal everywhere: the caller then only wants the code.
 *
 * Rules: out-parameters are written only when TR_OK is returned. The function that DETECTS a
 * failure sets the message (TR_FAIL); the ones above it only forward (TR_TRY) or add one line of
 * context (tr_err_context). Messages start in lower case, quote the subject, and say what was
 * expected. They are UTF-8 whatever they quote.
 */
#ifndef TR_BASE_ERR_H
#define TR_BASE_ERR_H

/* The one list of codes: name, HTTP status of the answer, title of the problem document. */
/* clang-format off */
#define TR_CODES(X)                                      \
    X(OK,        200, "ok")                              \
    X(INVALID,   400, "the request is not valid")        \
    X(UNAUTHORIZED, 401, "the token is not valid")       \
    X(DENIED,    403, "not allowed")                     \
    X(NOT_FOUND, 404, "no such object")                  \
    X(CONFLICT,  409, "the object changed meanwhile")    \
    X(LIMIT,     413, "a documented limit was exceeded") \
    X(MEDIA,     415, "the media type is not supported") \
    X(SEMANTIC,  422, "the request cannot be carried out") \
    X(NO_MEMORY, 503, "out of memory")                   \
    X(NO_SPACE,  507, "the disk is full")                \
    X(IO,        500, "an i/o operation failed")         \
    X(TORN,      500, "the last record is incomplete")   \
    X(CORRUPT,   500, "stored data fails its checksum")  \
    X(BUSY,      503, "try again later")                 \
    X(CANCELLED, 500, "the work was cancelled")

#define TR_CODE_NAME(name, http, title) TR_##name,
typedef enum tr_code { TR_CODES(TR_CODE_NAME) TR_CODE_COUNT } tr_code;
/* clang-format on */

typedef struct tr_err {
    tr_code code;     /* the code that was returned                 */
    int line;         /* where the failure was detected,            */
    const char *file; /* a string literal: never freed              */
    char text[480];
} tr_err;

/* Fills err (unless NULL) and returns code, so that "return TR_FAIL(...)" is one statement. */
tr_code tr_err_set(tr_err *err, tr_code code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 5, 6), cold));

/* Prepends "<context>: " to the text already in err (unless NULL). Once per room boundary. */
void tr_err_context(tr_err *err, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* The HTTP status and the title of the one list above. */
int tr_code_http_status(tr_code code);
const char *tr_code_title(tr_code code);

#define TR_FAIL(err, code, ...) tr_err_set((err), (code), __FILE__, __LINE__, __VA_ARGS__)

/* Forwards a failure to the caller. For functions that own something, use "goto done" instead. */
#define TR_TRY(call)                         \
    do {                                     \
        const tr_code tr_try_code_ = (call); \
        if (tr_try_code_ != TR_OK)           \
            return tr_try_code_;             \
    } while (0)

#define TR_MUST_CHECK __attribute__((warn_unused_result))

#endif
