//! Entities that share a table, attributes in numbered columns, and relationships.

use std::path::{Path, PathBuf};

use outbox_import::{
    Import, ImportError, ImportedEvent, Mapped, Reject, Source, SourceRow, SourceTable,
};
use outbox_runtime::NewEvent;
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::ClaimRequest;
use outbox_tests::Temporary;

use crate::{LEASE, numbers};

/// A store as Core Data writes it for a model in which Note, Folder and Attachment inherit from the
/// abstract SyncingObject, and Photo from Attachment. All share one table, and Note and Folder each
/// have their own attributes title and creationDate.
fn notes(folder: &Path) -> PathBuf {
    let path = folder.join("NoteStore.sqlite");
    let store = Connection::open(&path).unwrap();
    store
        .execute_batch(
            "CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME VARCHAR, Z_SUPER INTEGER, Z_MAX INTEGER);
             INSERT INTO Z_PRIMARYKEY VALUES (3, 'SyncingObject', 0, 9), (4, 'Attachment', 3, 0), (5, 'Folder', 3, 0),
                 (6, 'Note', 3, 0), (7, 'Photo', 4, 0), (8, 'Tag', 0, 2), (16001, 'CHANGE', 0, 0);
             CREATE TABLE Z_METADATA (Z_VERSION INTEGER PRIMARY KEY, Z_UUID VARCHAR(255), Z_PLIST BLOB);
             INSERT INTO Z_METADATA VALUES (1, 'AF6FD6A3-2F5E-4A60-9C5C-2B0D4B1F8E11', x'62706C697374');
             CREATE TABLE ZSYNCINGOBJECT (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZFOLDER INTEGER, Z5_FOLDER INTEGER,
                 ZCREATIONDATE TIMESTAMP, ZCREATIONDATE3 TIMESTAMP, ZPRICE DECIMAL, ZIDENTIFIER VARCHAR, ZTITLE VARCHAR,
                 ZTITLE1 VARCHAR, ZTITLE2 VARCHAR);
             INSERT INTO ZSYNCINGOBJECT (Z_PK, Z_ENT, ZIDENTIFIER, ZTITLE2, ZCREATIONDATE) VALUES (1, 5, 'f-1', 'Errands', 10);
             INSERT INTO ZSYNCINGOBJECT (Z_PK, Z_ENT, ZIDENTIFIER, ZTITLE1, ZCREATIONDATE3, ZFOLDER, Z5_FOLDER, ZPRICE) VALUES
                 (2, 6, 'n-2', 'second', 200, 1, 5, 12.5), (3, 6, 'n-3', 'first', 100, 1, 5, 7), (4, 6, 'n-4', NULL, 300, NULL, NULL, NULL);
             INSERT INTO ZSYNCINGOBJECT (Z_PK, Z_ENT, ZIDENTIFIER, ZTITLE) VALUES (5, 4, 'a-5', 'scan'), (6, 7, 'p-6', 'photo');
             CREATE TABLE ZTAG (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZNAME VARCHAR);
             INSERT INTO ZTAG VALUES (1, 8, 1, 'blue'), (2, 8, 1, 'red');
             CREATE TABLE Z_6TAGS (Z_6NOTES INTEGER, Z_8TAGS INTEGER, PRIMARY KEY (Z_6NOTES, Z_8TAGS));
             INSERT INTO Z_6TAGS VALUES (2, 1), (2, 2), (3, 2);",
        )
        .unwrap();
    path
}

fn texts(source: &Source, table: &SourceTable, column: &str) -> Vec<String> {
    let mut texts = Vec::new();
    source
        .for_each::<Box<dyn std::error::Error>>(table, |row| {
            texts.extend(row.opt_text(column)?);
            Ok(())
        })
        .unwrap();
    texts
}

#[test]
fn an_entity_without_a_table_is_read_from_the_table_of_its_root() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::open(notes(folder.path())).unwrap();
    let entity = SourceTable::entity;
    for (name, count) in [
        ("SyncingObject", 6),
        ("Note", 3),
        ("note", 3),
        ("Folder", 1),
        ("Photo", 1),
        // Including sub-entities.
        ("Attachment", 2),
        ("Tag", 2),
    ] {
        assert_eq!(source.count(&entity(name)).unwrap(), count, "{name}");
    }
    assert_eq!(
        texts(&source, &entity("Note"), "identifier"),
        ["n-2", "n-3", "n-4"]
    );
    let note = source
        .find(&entity("Note"), "identifier", "n-3")
        .unwrap()
        .unwrap();
    assert_eq!(note.entity(), Some("Note"));
    assert!(source.get(&entity("Folder"), note.key()).unwrap().is_none());
    assert!(
        source
            .find(&entity("Folder"), "identifier", "n-3")
            .unwrap()
            .is_none()
    );
    let all = entity("SyncingObject");
    let photo = source.find(&all, "identifier", "p-6").unwrap().unwrap();
    assert_eq!(photo.entity(), Some("Photo"));
}

#[test]
fn a_missing_attribute_of_a_sub_entity_is_reported_with_its_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = notes(folder.path());
    let source = Source::open(&path).unwrap();
    let error = source
        .check(&SourceTable::entity("Note").requires(["payload"]))
        .unwrap_err();
    assert!(matches!(&error, ImportError::ColumnMissing { column, .. } if column == "payload"));
    let text = error.to_string();
    assert!(
        text.contains("ZSYNCINGOBJECT") && text.contains("Note"),
        "{text}"
    );

    Connection::open(&path)
        .unwrap()
        .execute_batch("DROP TABLE ZSYNCINGOBJECT")
        .unwrap();
    let error = Source::open(&path)
        .unwrap()
        .check(&SourceTable::entity("Photo"))
        .unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ImportError::TableMissing { .. }));
    assert!(
        text.contains("ZSYNCINGOBJECT") && text.contains("Photo"),
        "{text}"
    );
}

#[test]
fn an_attribute_is_read_from_the_numbered_column_of_its_entity() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::open(notes(folder.path())).unwrap();
    let note = SourceTable::entity("Note").requires(["title", "creationDate"]);
    let ordered = note.clone().ordered_by("creationDate");
    assert_eq!(texts(&source, &ordered, "title"), ["first", "second"]);
    assert_eq!(
        texts(&source, &SourceTable::entity("Folder"), "title"),
        ["Errands"]
    );
    // Reading the whole table, each row has the title of its own entity, and can be looked up by
    // it.
    let all = SourceTable::entity("SyncingObject").ordered_by("creationDate");
    assert_eq!(
        texts(&source, &all, "title"),
        ["scan", "photo", "Errands", "first", "second"]
    );
    assert_eq!(
        source
            .find(&all, "title", "Errands")
            .unwrap()
            .unwrap()
            .key(),
        1
    );
    assert_eq!(
        source.find(&all, "title", "first").unwrap().unwrap().key(),
        3
    );
    // A column name selects the column itself.
    assert_eq!(texts(&source, &note, "ZTITLE2"), [""; 0]);
    assert_eq!(texts(&source, &note, "ZTITLE1"), ["second", "first"]);
}

#[test]
fn an_attribute_with_several_possible_columns_is_refused_with_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = notes(folder.path());
    Connection::open(&path)
        .unwrap()
        .execute_batch("UPDATE ZSYNCINGOBJECT SET ZTITLE2 = 'other' WHERE Z_PK = 4")
        .unwrap();
    let source = Source::open(&path).unwrap();
    let error = source
        .check(&SourceTable::entity("Note").requires(["title"]))
        .unwrap_err();
    assert!(
        matches!(&error, ImportError::AmbiguousColumn { entity, columns, .. }
            if entity == "Note" && *columns == ["ZTITLE1", "ZTITLE2"]),
        "{error}"
    );
    let note = SourceTable::entity("Note");
    let row = source.get(&note, 2).unwrap().unwrap();
    let reject = row.text("title").unwrap_err();
    assert!(
        reject.reason().is_none(),
        "the error ends the import: {reject}"
    );
    source.check(&note.requires(["ZTITLE1"])).unwrap();
}

#[test]
fn an_order_column_that_is_null_in_all_of_several_rows_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    let store = Connection::open(&path).unwrap();
    store
        .execute_batch(
            "CREATE TABLE events (id INTEGER PRIMARY KEY, created_at INTEGER);
             INSERT INTO events VALUES (1, NULL)",
        )
        .unwrap();
    let events = SourceTable::plain("events").ordered_by("created_at");
    Source::open(&path).unwrap().check(&events).unwrap();
    store
        .execute_batch("INSERT INTO events VALUES (2, NULL)")
        .unwrap();
    let error = Source::open(&path).unwrap().check(&events).unwrap_err();
    assert!(
        matches!(&error, ImportError::EmptyOrder { column, rows: 2, .. } if column == "created_at"),
        "{error}"
    );
    store
        .execute_batch("INSERT INTO events VALUES (3, 7)")
        .unwrap();
    Source::open(&path).unwrap().check(&events).unwrap();
}

#[test]
fn relationships_are_read_from_their_columns_and_join_tables() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::open(notes(folder.path())).unwrap();
    let number = |name| source.entity_number(name).unwrap();
    let note = source
        .get(&SourceTable::entity("Note"), 2)
        .unwrap()
        .unwrap();
    // To-one: the key, and, because folders share a table, the entity.
    assert_eq!(note.integer("folder").unwrap(), 1);
    let kind = note
        .integer(&format!("Z{}_FOLDER", number("Folder")))
        .unwrap();
    assert_eq!(source.entity_name(kind), Some("Folder"));
    let folder = source
        .get(&SourceTable::entity("Folder"), 1)
        .unwrap()
        .unwrap();
    assert_eq!(folder.text("title").unwrap(), "Errands");
    // Many-to-many.
    let links = SourceTable::plain(format!("Z_{}TAGS", number("Note")));
    let mine = format!("Z_{}NOTES", number("Note"));
    let theirs = format!("Z_{}TAGS", number("Tag"));
    let tags: Vec<String> = source
        .find_all(&links, &mine, note.key())
        .unwrap()
        .iter()
        .map(|link| {
            let tag = source.get(&SourceTable::entity("Tag"), link.integer(&theirs).unwrap());
            tag.unwrap().unwrap().text("name").unwrap()
        })
        .collect();
    assert_eq!(tags, ["blue", "red"]);
    assert_eq!(source.entity_number("Nobody"), None);
}

#[test]
fn decimals_are_read_as_text_whole_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.store");
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE ZITEM (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZPRICE DECIMAL, ZWEIGHT FLOAT, ZCODE VARCHAR);
             INSERT INTO ZITEM VALUES (1, 1, 1, 12.34, 0.1, '0.10'), (2, 1, 1, 7, 2, 'x'), (3, 1, 1, -0.05, 1, '-3'),
                 (4, 1, 1, '100000000000000000000.5', 1, '1.'), (5, 1, 1, NULL, NULL, NULL)",
        )
        .unwrap();
    let source = Source::open(&path).unwrap();
    let items = SourceTable::entity("Item");
    let item = |key| source.get(&items, key).unwrap().unwrap();
    for (key, price) in [
        (1, "12.34"),
        (2, "7"),
        (3, "-0.05"),
        (4, "100000000000000000000"),
    ] {
        assert_eq!(item(key).decimal("price").unwrap(), price);
        assert_eq!(
            item(key).text("price").unwrap(),
            price,
            "readable as text too"
        );
    }
    assert_eq!(item(1).decimal("weight").unwrap(), "0.1");
    assert!(item(1).text("weight").is_err(), "a FLOAT is not a decimal");
    assert_eq!(item(1).decimal("code").unwrap(), "0.10");
    assert_eq!(item(3).decimal("code").unwrap(), "-3");
    for key in [2, 4] {
        let reject = item(key).decimal("code").unwrap_err();
        assert!(reject.to_string().contains("code is damaged"), "{reject}");
    }
    assert_eq!(item(5).opt_decimal("price").unwrap(), None);
    assert_eq!(item(5).opt_text("price").unwrap(), None);
}

#[tokio::test]
async fn an_inherited_entity_is_imported_in_the_order_of_its_own_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = notes(folder.path());
    let mapper = |row: &SourceRow, _: &Source| -> Result<Mapped, Reject> {
        let event = NewEvent::new("note", "one", "user-1", Operation::Update)
            .with_id(uuid::Uuid::from_u128(row.key().unsigned_abs().into()));
        Ok(ImportedEvent::new(event, row.date("creationDate")?).into())
    };
    let temporary = Temporary::open().await;
    let notes = SourceTable::entity("Note").ordered_by("creationDate");
    let report = Import::new(&path)
        .table(notes)
        .run(&temporary.store, mapper)
        .await
        .unwrap();
    assert_eq!(numbers(&report), [3, 3, 0, 0, 0]);
    let mut order = Vec::new();
    loop {
        let claims = temporary
            .store
            .claim(&ClaimRequest::new(10, LEASE))
            .await
            .unwrap();
        let Some(claim) = claims.first() else { break };
        order.push(claim.event.id.as_u128());
        temporary
            .store
            .mark_as_completed(&claim.lease)
            .await
            .unwrap();
    }
    assert_eq!(order, [3, 2, 4]);
}
