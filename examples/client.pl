#!/usr/bin/perl
# Runs a command in a container over one byte stream, as docs/reference/stream.md describes it:
# with nothing but what comes with perl, and from as far away as ssh or socat reach.
#
#   client.pl [-t] CONNECT… -- COMMAND…
#   client.pl ssh root@there pyinit-ctl dial --hang-up web -- wc -c <file
#   client.pl -t socat - UNIX-CONNECT:/run/pyinit/web/control.sock -- bash
#
# CONNECT is a command whose stdin and stdout are the control socket. With -t COMMAND gets a
# terminal, and ours is raw meanwhile. Ends as COMMAND does, with 126 or 127 when it can't be
# started, and with 125 when it is not known how it ended.
use strict;
use warnings;
use JSON::PP;
use Socket;

use constant { STDIN_ => 0, STDOUT_ => 1, STDERR_ => 2, RESIZE => 3, SIGNAL => 4 };
use constant { CREDIT => 5, EXIT => 6, ERROR => 7, LONGEST => 65536 };

my $terminal = @ARGV && $ARGV[0] eq '-t' && shift @ARGV;
my ($split) = grep { $ARGV[$_] eq '--' } 0 .. $#ARGV;
failed('usage: client.pl [-t] CONNECT... -- COMMAND...') unless $split && $split < $#ARGV;
my @connect = @ARGV[0 .. $split - 1];
my @command = @ARGV[$split + 1 .. $#ARGV];

$SIG{PIPE} = 'IGNORE';
socketpair(my $link, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or failed("socketpair: $!");
defined(my $child = fork) or failed("fork: $!");
if (!$child) {
    $SIG{INT} = 'IGNORE';    # keys are for the command over there
    $SIG{PIPE} = 'DEFAULT';
    open(STDIN, '<&', $theirs) && open(STDOUT, '>&', $theirs) && exec { $connect[0] } @connect;
    die "$connect[0]: $!\n";
}
close $theirs;

my $incoming = '';
my %call = (command => { argv => \@command }, stdin => JSON::PP::true);
@{ $call{terminal} }{qw(rows columns term)} = (window_size(), $ENV{TERM} // 'xterm') if $terminal;
my %request = (method => 'io.pyinit.Control.ExecStream', upgrade => JSON::PP::true);
put($link, encode_json({ %request, parameters => \%call }) . "\0");
fill() until $incoming =~ s/^([^\0]*)\0//;
my $answer = decode_json($1);
if (my $error = $answer->{error}) {
    my %statuses = (CommandNotFound => 127, CommandNotExecutable => 126);
    failed("$error: " . encode_json($answer->{parameters}), $statuses{ $error =~ s/.*\.//r });
}

# From here on there are frames only, and what came with the answer may be the first of them.
my ($credit, $reads) = (65536, 1);
for my $name (qw(HUP INT QUIT TERM USR1 USR2)) {
    $SIG{$name} = sub { frame(SIGNAL, $name) };
}
my $before;
if ($terminal) {
    $SIG{WINCH} = sub { frame(RESIZE, pack 'n2', window_size()) };
    $before = `stty -g`;
    system 'stty raw -echo';
}
END { my $status = $?; system "stty $before" if $before; $? = $status }

while (1) {
    while (length $incoming >= 5) {
        my ($kind, $length) = unpack 'CN', $incoming;
        last if length $incoming < 5 + $length;
        my $payload = substr $incoming, 5, $length;
        substr($incoming, 0, 5 + $length) = '';
        take($kind, $payload);
    }
    my $wanted = '';
    vec($wanted, fileno $link, 1) = 1;
    vec($wanted, 0, 1) = 1 if $reads && $credit;
    # perl runs a handler between two steps of the program, so that none may take long.
    next unless select($wanted, undef, undef, 0.2) > 0;
    fill() if vec $wanted, fileno $link, 1;
    if (vec $wanted, 0, 1) {
        my $most = $credit < LONGEST ? $credit : LONGEST;
        $reads = sysread STDIN, my ($data), $most;
        $data = '' unless $reads;    # an empty frame is the end of standard input
        $credit -= length $data;
        frame(STDIN_, $data);
    }
}

sub take {
    my ($kind, $payload) = @_;
    if ($kind == STDOUT_) { put(*STDOUT, $payload) }
    elsif ($kind == STDERR_) { put(*STDERR, $payload) }
    elsif ($kind == CREDIT) { $credit += unpack 'N', $payload }
    elsif ($kind == EXIT) {
        my $end = decode_json($payload);
        my $status = $end->{status};
        exit($end->{timed_out} ? 124 : $status->{signal} ? 128 + $status->{signal} : $status->{code});
    }
    else { failed($payload) }
}

sub frame {
    my ($kind, $payload) = @_;
    put($link, pack('CN', $kind, length $payload) . $payload);
}

# May wait: what credit allows is always read over there, whatever else goes on.
sub put {
    my ($handle, $data) = @_;
    while (length $data) {
        my $size = syswrite $handle, $data;
        next if !defined $size && $!{EINTR};
        if (!defined $size && $!{EAGAIN}) {    # ssh has made the stderr that it shares with us so
            vec(my $full = '', fileno $handle, 1) = 1;
            select undef, $full, undef, 0.2;
            next;
        }
        last if !defined $size;    # nobody takes it: the last words are still to be read
        substr($data, 0, $size) = '';
    }
}

sub fill {
    my $size = sysread $link, $incoming, LONGEST, length $incoming;
    return if !defined $size && $!{EINTR};
    failed('the connection ended before the command did: its outcome is unknown') unless $size;
}

sub window_size {
    my @size = map { $_ + 0 } split ' ', `stty size`;
    return @size == 2 ? @size : (24, 80);
}

sub failed {
    my ($why, $status) = @_;
    print STDERR "client.pl: $why\n";
    exit($status // 125);
}
