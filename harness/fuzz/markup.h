/* What the report may write: held by the targets whose input ends up in a page. */
#ifndef ASSAY_HARNESS_FUZZ_MARKUP_H
#define ASSAY_HARNESS_FUZZ_MARKUP_H

/* Requires that the body of a page has none but the template's tags, each with the attributes that
 * the template writes and closed in its turn, no character reference but those of escaping, and no
 * control characters. */
void fuzz_check_markup(const char *page);

#endif
