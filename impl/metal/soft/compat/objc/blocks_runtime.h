/* GNUstep's headers ask for this name where blocks are on; Debian has the functions in Block.h. */
#include <Block.h>
