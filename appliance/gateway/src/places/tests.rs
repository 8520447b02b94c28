//! Who makes room for whom.

use tokio::task::JoinHandle;

use super::*;

/// What happens at the door. Connections are counted from 0 in the order in which they come.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A connection from an address comes and makes one go.
    Instead(u8, usize),
    /// It comes and nobody goes.
    In(u8),
    /// It comes and is closed at once.
    Out(u8),
    /// A connection carries a signed request.
    Sign(usize),
    /// A connection ends.
    End(usize),
}

use Step::{End, In, Instead, Out, Sign};

/// A connection, which ends when its place is wanted.
struct Connection {
    visitor: Arc<Visitor>,
    task: JoinHandle<()>,
}

async fn arrive(places: &Places, last: u8) -> Option<Connection> {
    let place = places.take(IpAddr::from([192, 0, 2, last])).await?;
    let visitor = place.visitor();
    let task = tokio::spawn(async move { place.wanted().await });
    Some(Connection { visitor, task })
}

async fn play(name: &str, (all_max, source_max): (usize, usize), steps: &[Step]) {
    let places = Places::new(all_max, source_max);
    let mut came: Vec<Option<Connection>> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let was: Vec<bool> = came.iter().map(is_open).collect();
        match *step {
            Instead(source, _) | In(source) | Out(source) => {
                came.push(arrive(&places, source).await);
            }
            Sign(number) => assert!(came[number].as_ref().expect("in").visitor.signed()),
            End(number) => {
                let task = &mut came[number].as_mut().expect("in").task;
                task.abort();
                assert!(task.await.is_err(), "{name}, {at}: it had gone");
            }
        }
        let gone: Vec<usize> = (0..was.len())
            .filter(|number| was[*number] && !is_open(&came[*number]))
            .collect();
        let (expected, enters) = match *step {
            Instead(_, number) => (vec![number], Some(true)),
            In(_) => (vec![], Some(true)),
            Out(_) => (vec![], Some(false)),
            Sign(_) => (vec![], None),
            End(number) => (vec![number], None),
        };
        assert_eq!(gone, expected, "{name}, step {at}: {step:?}");
        if let Some(enters) = enters {
            let last = came.last().expect("one");
            assert_eq!(is_open(last), enters, "{name}, step {at}: {step:?}");
        }
        let open = came.iter().filter(|one| is_open(one)).count();
        assert!(open <= all_max, "{name}, step {at}: {open} open");
    }
    for Connection { task, .. } in came.into_iter().flatten() {
        // One that is over was waited for.
        if !task.is_finished() {
            task.abort();
            task.await.ok();
        }
    }
    let taken = places.taken();
    assert_eq!((taken.all, taken.by_source.len()), (0, 0), "{name}");
}

fn is_open(connection: &Option<Connection>) -> bool {
    connection
        .as_ref()
        .is_some_and(|connection| !connection.task.is_finished())
}

#[tokio::test]
async fn guests_make_room_and_clients_stay() {
    let table: &[(&str, (usize, usize), &[Step])] = &[
        ("room", (3, 3), &[In(1), In(1), In(2)]),
        (
            "places that come back are taken first",
            (2, 2),
            &[In(1), In(1), End(1), In(2), Instead(3, 0)],
        ),
        (
            "the oldest guest of the address with the most goes",
            (4, 4),
            &[In(1), In(2), In(2), In(3), Instead(4, 1)],
        ),
        (
            "of addresses with as many, that with the oldest",
            (3, 3),
            &[
                In(9),
                In(2),
                In(1),
                Instead(3, 0),
                Instead(4, 1),
                Instead(5, 2),
            ],
        ),
        (
            "an address with its share makes room itself, though others have more guests",
            (9, 2),
            &[In(1), Sign(0), In(1), In(2), In(2), Instead(1, 1)],
        ),
        (
            "two addresses with all places keep nobody out",
            (4, 3),
            &[
                In(1),
                In(1),
                In(1),
                In(2),
                Instead(3, 0),
                Sign(4),
                Instead(1, 1),
                Instead(2, 2),
                Instead(4, 3),
            ],
        ),
        (
            "a client that shares its address with a flood stays once it has signed",
            (3, 3),
            &[
                In(1),
                In(1),
                In(1),
                Instead(1, 0),
                Sign(3),
                Instead(1, 1),
                Instead(1, 2),
                Instead(1, 4),
            ],
        ),
        (
            "signed twice is signed once",
            (2, 2),
            &[In(1), In(1), Sign(0), Sign(0), Instead(1, 1), Instead(1, 2)],
        ),
        (
            "clients make no room, neither for their address nor for others",
            (3, 2),
            &[
                In(1),
                In(1),
                Sign(0),
                Sign(1),
                Out(1),
                In(2),
                Sign(3),
                Out(3),
                End(0),
                In(3),
            ],
        ),
        (
            "a client that has signed does not count among the guests of its address",
            (4, 4),
            &[In(1), In(1), In(1), Sign(0), Sign(1), In(2), Instead(3, 2)],
        ),
    ];
    for (name, limits, steps) in table {
        play(name, *limits, steps).await;
    }
}

#[tokio::test]
async fn one_network_of_ipv6_is_one_address() {
    let places = Places::new(9, 1);
    let address = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 1, 2, 3, last]);
    let first = places.take(address(1)).await.expect("free");
    assert!(first.visitor().signed());
    assert!(
        places.take(address(2)).await.is_none(),
        "its share is taken"
    );
    let other = IpAddr::from([0x2001, 0xdb8, 0, 1, 1, 2, 3, 1]);
    assert!(places.take(other).await.is_some());
    assert_eq!(first.visitor().address(), address(1));
}

#[tokio::test]
async fn a_guest_that_was_told_to_make_room_begins_nothing() {
    let places = Places::new(2, 2);
    let [one, two, three] = [1, 2, 3].map(|last| IpAddr::from([127, 0, 0, last]));
    let (first, second) = (places.take(one).await, places.take(two).await);
    let (first, second) = (first.expect("free"), second.expect("free"));
    assert!(second.visitor().signed());
    let next = tokio::spawn({
        let places = places.clone();
        async move { places.take(three).await.is_some() }
    });
    first.wanted().await;
    assert!(!first.visitor().signed());
    assert!(!first.visitor().signed(), "nor later");
    assert!(second.visitor().signed(), "again");
    drop(first);
    assert!(next.await.expect("it ends"));
}
