internal import EventLoop
internal import JSON
internal import Journal
internal import Provisioning
internal import TestSupport
internal import Testing

@testable internal import Store

@Suite("The store on a full disk")
struct FullDiskTests {
    @Test func `all that was not on disk is undone, and its replies say so`() async {
        await #expect(processExitsWith: .success) {
            let directory = try TemporaryDirectory()
            let store = try Store(try StateDirectory.open(directory.path), retryInterval: .milliseconds(20)) { error in
                fatalError("\(error)")
            }
            let loop = try EventLoop()
            try loop.add(store)
            var suspensions: [Bool] = []
            store.onSuspension = { suspensions.append($0 != nil) }
            let old = device("i1", name: "D1", token: "t1", isProvisioned: true)
            try store.put(profile("p"), now: 1)
            try store.put(profile("gone", name: "G", key: "g"), now: 1)
            try store.put(old, now: 1)
            var left = 0
            store.whenDurable { failure in left += failure == nil ? 1 : 0 }
            while left < 1 { try loop.turn() }

            FileSizeLimit.set(store.logs.map(\.bytes).max())
            var failures = 0
            try store.put(device("i1", name: "D1 new", token: "t1 new", profile: "q"), now: 1)
            try store.put(device("i2", name: "D2", token: "t2", isProvisioned: true), now: 1)
            try store.put(device("i2", name: "D2 again", token: "t2", isProvisioned: true), now: 1)
            try store.put(profile("p", name: "renamed", key: "k2"), now: 1)
            store.whenDurable { failure in failures += failure == nil ? 0 : 1 }
            store.prepare()
            // Behind the group that fails.
            try store.put(profile("q", name: "Q", key: "kq"), now: 1)
            try store.delete(profile("gone"), now: 1)
            store.whenDurable { failure in
                failures += failure == nil ? 0 : 1
                #expect(throws: JournalError.self) { try store.put(profile("x"), now: 1) }
                // Nothing is staged, so nothing is waited for.
                store.whenDurable { failure in left += failure == nil ? 1 : 0 }
            }
            while failures < 2 { try loop.turn() }
            #expect(left == 2)
            #expect(suspensions == [true])
            func check() throws {
                #expect(line(try store.device(id: "i1")) == line(old))
                #expect(line(try store.device(named: "D1")) == line(old))
                #expect(line(try store.device(holding: "t1")) == line(old))
                for name in ["D1 new", "D2", "D2 again"] as [Text] { #expect(try store.device(named: name) == nil) }
                for token in ["t1 new", "t2"] as [Text] { #expect(try store.device(holding: token) == nil) }
                #expect(try store.device(id: "i2") == nil)
                #expect(store.deviceCount == 1 && store.orphanCount == 0)
                #expect(store.deviceCount(of: profile("p")) == 1 && store.deviceCount(of: profile("q")) == 0)
                #expect(line(store.profile(key: "key")) == line(profile("p")))
                #expect(store.profile(key: "g")?.id == "gone")
                #expect(store.profile(key: "k2") == nil && store.profile(key: "kq") == nil)
                #expect(store.profiles.count == 2)
                #expect(store.logs.map(\.seq) == [2, 1])
            }
            try check()
            #expect(store.secondsSinceProvisioning(try #require(try store.device(id: "i1"))) != nil)

            FileSizeLimit.set(nil)
            while store.suspension != nil { try loop.turn() }
            #expect(suspensions == [true, false])
            try check()
            try store.put(device("i3", name: "D3", token: "t3", isProvisioned: true), now: 1)
            #expect(store.secondsSinceProvisioning(try #require(try store.device(id: "i3"))) == 0)
            try store.close()
            let found = try Store.inspect(directory.path)
            #expect(found.profiles == 2 && found.devices == 2)
        }
    }

    @Test func `windows of records that are taken back are forgotten`() {
        var windows = RepeatWindows(settled: 0, seq: 0, now: 0)
        windows.provisioned(seq: 3, now: 10)
        windows.provisioned(seq: 5, now: 20)
        windows.provisioned(seq: 8, now: 20)
        windows.takeBack(to: 6)
        #expect(windows.seconds(since: 6, now: 25) == 5)
        #expect(windows.seconds(since: 7, now: 25) == nil)
        windows.takeBack(to: 3)
        #expect(windows.seconds(since: 3, now: 25) == 15)
        #expect(windows.seconds(since: 4, now: 25) == nil)
        windows.settle(longest: 0, seq: 9, now: 30)
        #expect(windows.settled == 9)
        windows.takeBack(to: 7)
        windows.provisioned(seq: 8, now: 31)
        #expect(windows.seconds(since: 8, now: 32) == 1)
    }
}
