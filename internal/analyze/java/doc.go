// Package java reads Java archives (jar, war, ear and their kin) and the
// archives inside them, and says which Maven artifacts they are.
//
// What an archive is, is told by the pom.properties that Maven leaves in it,
// else by its place in a repository, its manifest and its file name. More than
// one pom.properties means that other artifacts were shaded into it; each is
// listed. The name is "group:artifact"; where nothing tells the group, a short
// table knows some families that are published without Maven's files, else the
// artifact stands alone.
//
// Archives are hostile: a small one can unfold to terabytes. Nested archives
// that are stored are read where they lie, others are inflated into memory; the
// depth, the number of archives, the directories, and the bytes inflated, in
// all, at one time and in relation to their size, are bounded.
package java
