package java

import "strings"

// groups are those of artifacts that are published without Maven's files in
// their archives, or were when they were young.
var groups = map[string]string{
	"antlr":                         "antlr",
	"aopalliance":                   "aopalliance",
	"caffeine":                      "com.github.ben-manes.caffeine",
	"cglib":                         "cglib",
	"cglib-nodep":                   "cglib",
	"commons-beanutils":             "commons-beanutils",
	"commons-chain":                 "commons-chain",
	"commons-cli":                   "commons-cli",
	"commons-codec":                 "commons-codec",
	"commons-collections":           "commons-collections",
	"commons-configuration":         "commons-configuration",
	"commons-daemon":                "commons-daemon",
	"commons-dbcp":                  "commons-dbcp",
	"commons-dbutils":               "commons-dbutils",
	"commons-digester":              "commons-digester",
	"commons-discovery":             "commons-discovery",
	"commons-el":                    "commons-el",
	"commons-fileupload":            "commons-fileupload",
	"commons-httpclient":            "commons-httpclient",
	"commons-io":                    "commons-io",
	"commons-jexl":                  "commons-jexl",
	"commons-jxpath":                "commons-jxpath",
	"commons-lang":                  "commons-lang",
	"commons-logging":               "commons-logging",
	"commons-logging-adapters":      "commons-logging",
	"commons-logging-api":           "commons-logging",
	"commons-net":                   "commons-net",
	"commons-pool":                  "commons-pool",
	"commons-validator":             "commons-validator",
	"derby":                         "org.apache.derby",
	"elasticsearch":                 "org.elasticsearch",
	"guice":                         "com.google.inject",
	"guice-no-aop":                  "com.google.inject",
	"h2":                            "com.h2database",
	"hibernate-core":                "org.hibernate",
	"hsqldb":                        "org.hsqldb",
	"jsr305":                        "com.google.code.findbugs",
	"jython":                        "org.python",
	"jython-standalone":             "org.python",
	"kafka-clients":                 "org.apache.kafka",
	"log4j":                         "log4j",
	"mysql-connector-j":             "com.mysql",
	"mysql-connector-java":          "mysql",
	"okhttp":                        "com.squareup.okhttp3",
	"okio":                          "com.squareup.okio",
	"opensearch":                    "org.opensearch",
	"postgresql":                    "org.postgresql",
	"reactor-core":                  "io.projectreactor",
	"reactor-netty":                 "io.projectreactor.netty",
	"struts":                        "struts",
	"xalan":                         "xalan",
	"xercesImpl":                    "xerces",
	"xml-apis":                      "xml-apis",
	"ant":                           "org.apache.ant",
	"velocity":                      "org.apache.velocity",
	"velocity-engine-core":          "org.apache.velocity",
	"spring":                        "org.springframework",
	"spring-boot":                   "org.springframework.boot",
	"micrometer-registry-elastic":   "io.micrometer",
	"okhttp-urlconnection":          "com.squareup.okhttp3",
	"okhttp-logging-interceptor":    "com.squareup.okhttp3",
	"reactor-netty-core":            "io.projectreactor.netty",
	"reactor-netty-http":            "io.projectreactor.netty",
	"elasticsearch-core":            "org.elasticsearch",
	"elasticsearch-cli":             "org.elasticsearch",
	"elasticsearch-x-content":       "org.elasticsearch",
	"elasticsearch-rest-client":     "org.elasticsearch.client",
	"kafka-streams":                 "org.apache.kafka",
	"kafka-server-common":           "org.apache.kafka",
	"connect-api":                   "org.apache.kafka",
	"connect-runtime":               "org.apache.kafka",
	"tomcat-embed-jasper":           "org.apache.tomcat.embed",
	"hibernate-commons-annotations": "org.hibernate.common",
}

// families are groups by the beginning of the artifact; the longest beginning
// counts.
var families = []struct{ prefix, group string }{
	{"ant-", "org.apache.ant"},
	{"bcmail-", "org.bouncycastle"},
	{"bcpg-", "org.bouncycastle"},
	{"bcpkix-", "org.bouncycastle"},
	{"bcprov-", "org.bouncycastle"},
	{"bctls-", "org.bouncycastle"},
	{"bcutil-", "org.bouncycastle"},
	{"groovy", "org.codehaus.groovy"},
	{"grpc-", "io.grpc"},
	{"guice-", "com.google.inject.extensions"},
	{"kafka_", "org.apache.kafka"},
	{"kotlin-", "org.jetbrains.kotlin"},
	{"kotlinx-coroutines-", "org.jetbrains.kotlinx"},
	{"lucene-", "org.apache.lucene"},
	{"micrometer-", "io.micrometer"},
	{"mongodb-driver", "org.mongodb"},
	{"opentelemetry-", "io.opentelemetry"},
	{"spring-", "org.springframework"},
	{"spring-batch-", "org.springframework.batch"},
	{"spring-boot-", "org.springframework.boot"},
	{"spring-cloud-", "org.springframework.cloud"},
	{"spring-data-", "org.springframework.data"},
	{"spring-integration-", "org.springframework.integration"},
	{"spring-kafka", "org.springframework.kafka"},
	{"spring-security-", "org.springframework.security"},
	{"spring-session-", "org.springframework.session"},
	{"spring-ws-", "org.springframework.ws"},
	{"tomcat-", "org.apache.tomcat"},
	{"tomcat-embed-", "org.apache.tomcat.embed"},
}

func knownGroup(artifact string) string {
	if g := groups[artifact]; g != "" {
		return g
	}
	group, length := "", 0
	for _, f := range families {
		if strings.HasPrefix(artifact, f.prefix) && len(f.prefix) > length {
			group, length = f.group, len(f.prefix)
		}
	}
	return group
}
