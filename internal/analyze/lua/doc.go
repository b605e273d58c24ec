// Package lua finds the rocks that LuaRocks has installed. It keeps a directory
// for each, PREFIX/lib/luarocks/rocks-5.4/NAME/VERSION, with the rock's
// specification NAME-VERSION.rockspec in it ("File locations" in the LuaRocks
// documentation). The specification is a program in Lua, and may compute what it
// says: name and version are taken from the path, which LuaRocks has made from
// them, and only the licence from the text.
//
// A rockspec elsewhere is a source. Modules that were copied without LuaRocks
// carry no name and are not found.
package lua
