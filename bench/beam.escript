#!/usr/bin/env escript
%% What the BEAM takes for what bench/runtime-figures.ts measures: one line a figure, nanoseconds.
-mode(compile).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

init(N) -> {ok, N}.
handle_call(get, _From, N) -> {reply, N, N}.
handle_cast(tick, N) -> {noreply, N + 1};
handle_cast(die, N) -> {stop, normal, N}.
handle_info(_, N) -> {noreply, N}.

main(_) ->
    {ok, Echo} = gen_server:start(?MODULE, 0, []),
    figure("cast", 200000, fun(N) -> casts(Echo, N), gen_server:call(Echo, get, infinity) end),
    figure("call", 100000, fun(N) -> calls(Echo, N) end),
    figure("ping-pong", 100000, fun(N) -> Peer = spawn_link(fun pong/0), ping(Peer, N), unlink(Peer), exit(Peer, kill) end),
    figure("spawn", 50000, fun spawns/1),
    figure("actor", 30000, fun actors/1),
    Plain = figure("call-empty", 20000, fun(N) -> calls(Echo, N) end),
    [self() ! {noise, I} || I <- lists:seq(1, 500000)],
    Backlog = figure("call-backlog", 20000, fun(N) -> calls(Echo, N) end),
    io:format("backlog-ratio ~.2f~n", [Backlog / Plain]).

figure(Name, N, Run) ->
    Run(N),
    Times = lists:sort([one(N, Run) || _ <- lists:seq(1, 5)]),
    Median = lists:nth(3, Times),
    io:format("~s ~.1f~n", [Name, Median]),
    Median.
one(N, Run) ->
    Started = erlang:monotonic_time(nanosecond),
    Run(N),
    (erlang:monotonic_time(nanosecond) - Started) / N.

casts(_, 0) -> ok;
casts(To, N) -> gen_server:cast(To, tick), casts(To, N - 1).
calls(_, 0) -> ok;
calls(To, N) -> gen_server:call(To, get), calls(To, N - 1).
pong() -> receive {From, ping} -> From ! pong, pong() end.
ping(_, 0) -> ok;
ping(To, N) -> To ! {self(), ping}, receive pong -> ping(To, N - 1) end.
spawns(0) -> ok;
spawns(N) ->
    {_, Ref} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Ref, _, _, _} -> spawns(N - 1) end.
actors(0) -> ok;
actors(N) ->
    {ok, {Pid, Ref}} = gen_server:start_monitor(?MODULE, 0, []),
    gen_server:cast(Pid, die),
    receive {'DOWN', Ref, _, _, _} -> actors(N - 1) end.
