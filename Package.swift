// swift-tools-version:6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

/// A Swift target; its dependencies run down the drawing in CONTRIBUTING.md, never up or sideways.
func target(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// What tests share; no product depends on it.
let testSupport = Target.target(
    name: "TestSupport", dependencies: ["EventLoop"], path: "Tests/Support", swiftSettings: strict)

func library(_ name: String, _ pkgConfig: String? = nil, apt: String) -> Target {
    .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([apt])])
}

let package = Package(
    name: "nearhub",
    products: [.executable(name: "nearhub", targets: ["nearhub"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    ],
    targets: [
        .systemLibrary(name: "CLinux"),
        library("CCoap", "libcoap-3-gnutls", apt: "libcoap3-dev"),
        library("CCrypto", "libcrypto", apt: "libssl-dev"),
        library("CInih", "inih", apt: "libinih-dev"),
        library("CJansson", "jansson", apt: "libjansson-dev"),
        library("CMicrohttpd", "libmicrohttpd", apt: "libmicrohttpd-dev"),
        library("CMosquitto", "libmosquitto", apt: "libmosquitto-dev"),
        library("CSSL", "openssl", apt: "libssl-dev"),
        library("CXXHash", "libxxhash", apt: "libxxhash-dev"),

        target("Configuration", ["CInih"]),
        target("Crypto", ["CCrypto", "CLinux"]),
        target("EventLoop", ["CLinux"]),
        target("JSON", ["CJansson"]),

        target("Journal", ["CLinux", "CXXHash", "EventLoop", "JSON"]),
        target("Provisioning", ["Crypto", "JSON"]),
        target("Store", ["CLinux", "CXXHash", "Crypto", "EventLoop", "Journal", "JSON", "Provisioning"]),

        target("Audit", ["EventLoop", "JSON"]),
        target("Backup", ["EventLoop", "JSON", "Journal", "Store"]),
        target("CoAPMessage"),
        target("CoAPClient", ["CCoap", "CoAPMessage"]),
        target("CoAPServer", ["CCoap", "CoAPMessage", "EventLoop"]),
        target("HTTPMessage", ["EventLoop", "JSON"]),
        target("HTTPServer", ["CLinux", "CMicrohttpd", "EventLoop", "HTTPMessage"]),
        target("MQTTClient", ["CLinux", "CMosquitto", "CSSL", "EventLoop"]),
        target("DeviceAPI", ["CoAPMessage", "Crypto", "EventLoop", "HTTPMessage", "JSON", "Provisioning", "Store"]),
        target(
            "Upstream", ["Crypto", "EventLoop", "JSON", "Journal", "MQTTClient", "Provisioning", "Store"]),
        target("AdminAPI", ["Crypto", "EventLoop", "HTTPMessage", "JSON", "Provisioning", "Store", "Upstream"]),

        target(
            "ControlClient",
            ["CoAPClient", "CoAPMessage", "EventLoop", "JSON", "MQTTClient"]),
        target(
            "Daemon",
            [
                "AdminAPI", "Audit", "CLinux", "CoAPMessage", "CoAPServer", "Configuration", "Crypto",
                "DeviceAPI", "EventLoop", "HTTPMessage", "HTTPServer", "JSON", "Journal", "MQTTClient", "Provisioning",
                "Store", "Upstream", logging,
            ]),
        .executableTarget(
            name: "nearhub",
            dependencies: [
                "Audit", "Backup", "Configuration", "ControlClient", "Daemon", "EventLoop", "JSON", argumentParser,
            ],
            swiftSettings: strict),

        testSupport,
        tests("AuditTests", ["Audit", "JSON", "TestSupport"]),
        tests("BackupTests", ["Backup", "TestSupport"]),
        tests("CoAPServerTests", ["CoAPMessage", "CoAPServer", "EventLoop"]),
        tests("ConfigurationTests", ["Configuration"]),
        tests("CryptoTests", ["Crypto", "TestSupport"]),
        tests("DeviceAPITests", ["DeviceAPI"]),
        tests("EventLoopTests", ["EventLoop"]),
        tests("HTTPServerTests", ["HTTPServer", "TestSupport"]),
        tests("JSONTests", ["JSON", "TestSupport"]),
        tests("JournalTests", ["EventLoop", "Journal", "JSON", "TestSupport"]),
        tests("MQTTClientTests", ["EventLoop", "MQTTClient"]),
        tests("ProvisioningTests", ["Crypto", "JSON", "Provisioning", "TestSupport"]),
        tests("StoreTests", ["JSON", "Journal", "Provisioning", "Store", "TestSupport"]),
        tests(
            "UpstreamTests",
            [
                "Crypto", "EventLoop", "JSON", "Journal", "MQTTClient", "Provisioning", "Store", "TestSupport",
                "Upstream",
            ]),
    ],
    swiftLanguageModes: [.v6]
)
