# redis-rb, as Debian ships it: strings, a transaction, a pipeline, publish and subscribe, a lock that is a script.
require "redis"

def expect(what)
  raise "not so: #{caller(1, 1)}" unless what
end

port = ARGV.fetch(0).to_i
client = Redis.new(port: port, db: 7)
client.flushdb
expect client.set("a", "1", ex: 10) == "OK" && client.set("a", "2", nx: true) == false
expect client.set("a", "2", get: true) == "1" && client.getex("a", ex: 60) == "2" && client.ttl("a") > 50
expect client.mset("b", 3, "c", 4) == "OK" && client.mapped_mget("b", "none") == { "b" => "3", "none" => nil }
expect client.incr("n") == 1 && client.decrby("n", 3) == -2 && client.incrbyfloat("f", 1.25) == 1.25
expect client.append("b", "x") == 2 && client.getrange("b", 0, 0) == "3" && client.getdel("b") == "3x"
expect client.scan_each(match: "*", count: 2).to_a.sort == %w[a c f n] && client.keys("[ac]").sort == %w[a c]
expect client.multi { |multi| multi.set("m", 1); multi.incr("m"); multi.get("m") } == ["OK", 2, "2"]
expect client.pipelined { |pipe| pipe.set("m", 1); pipe.incr("m") } == ["OK", 2]
expect client.watch("m") { Redis.new(port: port, db: 7).set("m", 9); client.multi { |multi| multi.get("m") } }.nil?
expect client.info["role"] == "master" && client.info(:commandstats).key?("get")
expect client.config(:get, "maxclients") == { "maxclients" => "10000" }
begin
  client.lpush("l", 1)
  raise "lists are there"
rescue Redis::CommandError => e
  expect e.message.include?("unknown command")
end
heard = Queue.new
ready = Queue.new
listener = Thread.new do
  Redis.new(port: port).subscribe("news") do |on|
    on.subscribe { ready << true }
    on.message { |channel, text| heard << [channel, text]; Thread.current.exit }
  end
end
ready.pop
expect client.publish("news", "hello") == 1 && heard.pop == %w[news hello]
listener.join

# The scripts of redlock-rb: lock and unlock.
lock, unlock = %w[ceb2b2062e40c51a2b3963fd078bc71f11bdc65c 8e4905cee18e7c3188d10f2b8b170e403baed34f]
expect client.script(:exists, [lock, unlock, "f" * 40]) == [true, true, false]
expect client.evalsha(lock, ["lock"], ["mine", 60_000, "yes"]) == "OK"
expect client.evalsha(lock, ["lock"], ["theirs", 60_000, "yes"]).nil?
expect client.evalsha(unlock, ["lock"], ["theirs"]).zero? && client.evalsha(unlock, ["lock"], ["mine"]) == 1
begin
  client.evalsha("f" * 40)
  raise "it is known"
rescue Redis::CommandError => e
  expect e.message.start_with?("NOSCRIPT")
end
