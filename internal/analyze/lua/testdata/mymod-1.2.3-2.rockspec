rockspec_format = "3.0"
package = "mymod"
version = "1.2.3-2"
source = { url = "file:///tmp/h5/lua/mymod.lua" }
description = { summary = "x", license = "MIT/X11" }
dependencies = { "lua >= 5.1" }
build = { type = "builtin", modules = { mymod = "mymod.lua" } }
