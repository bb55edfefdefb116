// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/faces/face_list.h"

#include <gtest/gtest.h>

#include "common/dataset/data_scan.h"
#include "common/io/atomic_file.h"
#include "common/io/formats/npz_file.h"
#include "tests/common/dataset/pack_builder.h"

namespace ferment::dataset {
namespace {

class FaceListTest : public ::testing::Test {
 protected:
  void Picture(const std::string& path) { WriteText(root_ / path, Fixture("jpeg/rgb.jpg")); }
  Result<FaceList> Load(const std::string& format, FaceSplit split = FaceSplit::kTrain,
                        const std::vector<std::string>& names = {"Neutral", "Anger", "Disgust", "Fear", "Happiness",
                                                                 "Sadness", "Surprise", "Other"}) {
    v1::FerSpec source;
    source.set_format(format);
    source.set_path(root_.string());
    return LoadFaceSource(source, ClassMap(names), split);
  }
  static std::vector<int> Labels(const FaceList& list) {
    std::vector<int> labels;
    for (const LabelledFace& face : list.faces) labels.push_back(face.label);
    return labels;
  }

  std::filesystem::path root_ = FreshFolder("faces");
};

TEST_F(FaceListTest, AFolderListNamesClassesInAnyCaseOrByIndexAndPicturesInImages) {
  Picture("a.jpg");
  Picture("images/b.jpg");
  Picture("images/c.jpg");
  WriteText(root_ / "train.csv", "path,class,name\r\na.jpg,HAPPINESS,x\r\nb.jpg,1,x\r\nimages/c.jpg,sad,x\r\n");
  const auto list = Load("folder");
  ASSERT_TRUE(list.has_value()) << list.error().ToString();
  EXPECT_EQ(Labels(*list), (std::vector<int>{4, 1, 5}));
  EXPECT_EQ(list->faces[1].file, root_ / "images" / "b.jpg");
  EXPECT_EQ(list->faces[1].path, "b.jpg");
}

TEST_F(FaceListTest, ClassesOutsideTheRunUnknownOnesAndMissingPicturesAreCounted) {
  Picture("a.jpg");
  WriteText(root_ / "train.csv", "a.jpg,Neutral\na.jpg,7\na.jpg,Bored\nnone.jpg,Fear\n");
  const auto list = Load("folder", FaceSplit::kTrain, {"Fear", "Neutral"});
  ASSERT_TRUE(list.has_value()) << list.error().ToString();
  EXPECT_EQ(Labels(*list), std::vector<int>{1});
  EXPECT_EQ(list->rows, 4U);
  EXPECT_EQ(list->dropped, (std::map<std::string, std::uint64_t>{
                               {"class-not-in-run: Other", 1}, {"class-unknown: Bored", 1}, {"image-missing", 1}}));
}

TEST_F(FaceListTest, SubFoldersByClassNeedNoList) {
  Picture("train/Anger/1.jpg");
  Picture("train/Happy/2.jpg");
  Picture("val/Anger/3.jpg");
  EXPECT_EQ(Labels(*Load("folder")), (std::vector<int>{1, 4}));
  EXPECT_EQ(Labels(*Load("folder", FaceSplit::kValidation)), std::vector<int>{1});
  Picture("train/3/4.jpg");
  EXPECT_EQ(Load("folder").error().code(), StatusCode::kDataLoss);
}

TEST_F(FaceListTest, ARowWithoutAClassIsNamedByFileAndLine) {
  WriteText(root_ / "train.csv", "path,class\na.jpg\n");
  const auto list = Load("folder");
  ASSERT_FALSE(list.has_value());
  EXPECT_NE(list.error().message().find("train.csv line=2"), std::string_view::npos);
  EXPECT_EQ(ProcessExitCode(Load("folder", FaceSplit::kValidation).error()), exit_code::kBadData);
}

TEST_F(FaceListTest, AClassWithoutATrainingFaceIsExitCode65) {
  Picture("a.jpg");
  WriteText(root_ / "train.csv", "a.jpg,Neutral\n");
  RunSpec spec;
  spec.add_classes("Neutral");
  spec.add_classes("Fear");
  spec.mutable_data()->add_fer()->set_path(root_.string());
  const auto list = LoadFaces(spec, FaceSplit::kTrain);
  ASSERT_FALSE(list.has_value());
  EXPECT_EQ(ProcessExitCode(list.error()), exit_code::kBadData);
  EXPECT_NE(list.error().message().find("class=Fear"), std::string_view::npos);
}

TEST_F(FaceListTest, AnUnknownFormatIsExitCode64) {
  EXPECT_EQ(ProcessExitCode(Load("voc").error()), exit_code::kBadSpec);
}

TEST_F(FaceListTest, AffectNet2017SkipsRowsWithoutABoxAndCropsTheOthers) {
  Picture("Manually_Annotated/Manually_Annotated_Images/1/a.jpg");
  const std::string header =
      "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n";
  WriteText(root_ / "Manually_Annotated_file_lists" / "training.csv",
            header +
                "1/a.jpg,2,3,10,8,0;0,1,0,0\n1/a.jpg,NULL,NULL,NULL,NULL,0;0,1,0,0\n1/a.jpg,2,3,10,8,0;0,9,-2,-2\n1/"
                "a.jpg,0,0,4.0,4.0,0;0,7,0,0\n");
  const auto list = Load("affectnet2017");
  ASSERT_TRUE(list.has_value()) << list.error().ToString();
  EXPECT_EQ(Labels(*list), (std::vector<int>{4, 7}));
  EXPECT_EQ(list->dropped.at("face-box-missing"), 1U);
  EXPECT_EQ(list->dropped.at("no-expression"), 1U);
  const auto face = ReadFace(list->faces[0]);
  EXPECT_EQ(face->width, 10);
  EXPECT_EQ(face->height, 8);
}

TEST_F(FaceListTest, AffectNet2021ReadsUnicodeAnnotationsOfBothShapes) {
  const auto annotate = [&](const std::string& id, const char* fixture) {
    Picture("train_set/images/" + id + ".jpg");
    WriteText(root_ / "train_set" / "annotations" / (id + "_exp.npy"), Fixture(std::string("numpy/") + fixture));
  };
  annotate("0", "exp_U1_scalar.npy");
  annotate("1", "exp_U1_one.npy");
  annotate("2", "exp_U2_padded.npy");
  annotate("3", "exp_U2_one.npy");
  annotate("4", "truncated_data.npy");
  const auto list = Load("affectnet2021");
  ASSERT_TRUE(list.has_value()) << list.error().ToString();
  EXPECT_EQ(Labels(*list), (std::vector<int>{7, 6, 3}));
  EXPECT_EQ(list->dropped, (std::map<std::string, std::uint64_t>{{"annotation-damaged", 1}, {"no-expression", 1}}));
}

TEST_F(FaceListTest, ExpWReadsTopLeftRightBottomAndDropsRepetitions) {
  Picture("data/image/origin/a.jpg");
  WriteText(root_ / "data" / "label" / "label.lst",
            "a.jpg 0 3 2 12 11 90.5 3\na.jpg 0 3 2 12 11 90.5 3\na.jpg 1 0 0 4 4 50 6\n");
  std::vector<LabelledFace> faces;
  std::uint64_t repeated = 0;
  for (const FaceSplit split : {FaceSplit::kTrain, FaceSplit::kValidation}) {
    const auto list = Load("expw", split);
    ASSERT_TRUE(list.has_value()) << list.error().ToString();
    faces.insert(faces.end(), list->faces.begin(), list->faces.end());
    repeated += list->dropped.contains("row-repeated") ? list->dropped.at("row-repeated") : 0;
  }
  ASSERT_EQ(faces.size(), 2U);
  EXPECT_EQ(repeated, 1U);
  EXPECT_EQ(faces[0].label, 4);
  EXPECT_EQ(faces[1].label, 0);
  EXPECT_EQ(faces[0].box->left, 2);
  EXPECT_EQ(faces[0].box->top, 3);
  EXPECT_EQ(faces[0].box->right, 12);
  EXPECT_EQ(faces[0].box->bottom, 11);
}

TEST_F(FaceListTest, RafDbSplitsByPrefixAndRefusesTheCompoundSubset) {
  Picture("Image/aligned/train_00001_aligned.jpg");
  Picture("Image/aligned/test_0001_aligned.jpg");
  WriteText(root_ / "EmoLabel" / "list_patition_label.txt", "train_00001.jpg 5\ntest_0001.jpg 7\n");
  EXPECT_EQ(Labels(*Load("rafdb")), std::vector<int>{5});
  EXPECT_EQ(Labels(*Load("rafdb", FaceSplit::kValidation)), std::vector<int>{0});
  WriteText(root_ / "EmoLabel" / "list_patition_label.txt", "train_00001.jpg 11\n");
  const std::string refused(Load("rafdb").error().message());
  EXPECT_NE(refused.find("compound"), std::string::npos);
  EXPECT_EQ(refused.find(".jpg"), std::string::npos) << "a row names a picture";
}

TEST_F(FaceListTest, FerPlusTakesTheMajorityAndDropsTiesAndNonFaces) {
  WriteText(root_ / "FER2013Train" / "fer0.png", Fixture("png/gray.png"));
  WriteText(
      root_ / "fer2013new.csv",
      "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
      "Training,fer0.png,1,9,0,0,0,0,0,0,0,0\nTraining,fer0.png,5,5,0,0,0,0,0,0,0,0\nTraining,,0,0,0,0,0,0,0,0,0,10\n"
      "Training,fer0.png,0,0,0,0,0,0,0,0,9,1\nPublicTest,fer1.png,9,0,0,0,0,0,0,0,0,0\nPrivateTest,fer2.png,9,0,0,0,0,"
      "0,0,0,0,0\n");
  const auto list = Load("ferplus");
  ASSERT_TRUE(list.has_value()) << list.error().ToString();
  EXPECT_EQ(Labels(*list), std::vector<int>{4});
  EXPECT_EQ(list->dropped,
            (std::map<std::string, std::uint64_t>{{"image-name-missing", 1}, {"no-expression", 1}, {"votes-tied", 1}}));
  EXPECT_EQ(ReadFace(list->faces[0])->width, 24);
}

TEST_F(FaceListTest, AListIsTheFileThatNamesTheRowsWhereThereIsOne) {
  const auto list_of = [this](const std::string& format, FaceSplit split, const std::string& named = "") {
    v1::FerSpec source;
    source.set_format(format);
    source.set_path(root_.string());
    (split == FaceSplit::kTrain ? source.mutable_train() : source.mutable_validation())->assign(named);
    return ListFile(source, split).lexically_relative(root_).string();
  };
  EXPECT_EQ(list_of("folder", FaceSplit::kTrain), "") << "none is there";
  for (const char* name : {"train.csv", "validation.csv", "mine.csv"}) WriteText(root_ / name, "a.jpg,Neutral\n");
  EXPECT_EQ(list_of("folder", FaceSplit::kTrain), "train.csv");
  EXPECT_EQ(list_of("", FaceSplit::kValidation), "validation.csv");
  const std::string affectnet = "Manually_Annotated_file_lists/";
  EXPECT_EQ(list_of("affectnet2017", FaceSplit::kTrain), affectnet + "training.csv");
  EXPECT_EQ(list_of("affectnet2017", FaceSplit::kValidation), affectnet + "validation.csv");
  EXPECT_EQ(list_of("affectnet2021", FaceSplit::kTrain), "") << "a file a face";
  EXPECT_EQ(list_of("expw", FaceSplit::kTrain), "label/label.lst");
  EXPECT_EQ(list_of("rafdb", FaceSplit::kValidation), "EmoLabel/list_patition_label.txt");
  EXPECT_EQ(list_of("ferplus", FaceSplit::kTrain), "fer2013new.csv");
  for (const char* format : {"folder", "affectnet2017", "expw", "rafdb", "ferplus"})
    EXPECT_EQ(list_of(format, FaceSplit::kValidation, "mine.csv"), "mine.csv") << format;
  EXPECT_EQ(list_of("tarball", FaceSplit::kTrain), "");
}

TEST_F(FaceListTest, ContemptOfEveryFormatGoesWhereTheSpecSaysAndIsCounted) {
  WriteText(root_ / "a" / "Manually_Annotated_file_lists" / "validation.csv", "x.jpg,0,0,4,4,0;0,7,0,0\n");
  Picture("a/x.jpg");
  Picture("b/val_set/images/0.jpg");
  WriteText(root_ / "b" / "val_set" / "annotations" / "0_exp.npy", Fixture("numpy/exp_U1_scalar.npy"));
  Picture("c/FER2013Valid/x.jpg");
  WriteText(root_ / "c" / "fer2013new.csv", "PublicTest,x.png,0,0,0,0,0,0,0,9,1,0\n");
  Picture("d/val/Contempt/x.jpg");
  Picture("e/x.jpg");
  WriteText(root_ / "e" / "val.csv", "x.jpg,contempt\nx.jpg,Other\n");
  RunSpec spec;
  for (const auto name : kExpressionNames) spec.add_classes(std::string(name));
  const std::vector<std::pair<std::string, std::string>> sources = {
      {"affectnet2017", "a"}, {"affectnet2021", "b"}, {"ferplus", "c"}, {"folder", "d"}, {"folder", "e"}};
  for (const auto& [format, folder] : sources) {
    v1::FerSpec& source = *spec.mutable_data()->add_fer();
    source.set_format(format);
    source.set_path((root_ / folder).string());
  }
  const auto as_other = LoadFaces(spec, FaceSplit::kValidation);
  ASSERT_TRUE(as_other.has_value()) << as_other.error().ToString();
  EXPECT_EQ(Labels(*as_other), std::vector<int>(6, kOther));
  EXPECT_EQ(as_other->oddities.size(), 5U);
  spec.mutable_data()->set_contempt("drop");
  const auto dropped = LoadFaces(spec, FaceSplit::kValidation);
  ASSERT_TRUE(dropped.has_value()) << dropped.error().ToString();
  EXPECT_EQ(Labels(*dropped), std::vector<int>{kOther});
  EXPECT_EQ(dropped->rows, 6U);
  EXPECT_EQ(dropped->dropped, (std::map<std::string, std::uint64_t>{{"contempt-dropped", 5}}));
  EXPECT_TRUE(dropped->oddities.empty());
}

TEST_F(FaceListTest, AValidationListWithoutAFaceIsRefusedBeforeFiguresAreMadeOfNothing) {
  WriteText(root_ / "v" / "val.csv", "path,label\n");
  RunSpec spec;
  for (const auto name : kExpressionNames) spec.add_classes(std::string(name));
  v1::FerSpec& source = *spec.mutable_data()->add_fer();
  source.set_format("folder");
  source.set_path((root_ / "v").string());
  source.set_validation("val.csv");
  const auto list = LoadFaces(spec, FaceSplit::kValidation);
  ASSERT_FALSE(list);
  EXPECT_EQ(ProcessExitCode(list.error()), exit_code::kBadData);
  EXPECT_NE(list.error().message().find("no validation face is left: rows=0"), std::string_view::npos)
      << list.error().ToString();
}

TEST_F(FaceListTest, ListedPathsAreRelativeToTheDataRootWhereTheyLieInside) {
  RunSpec spec;
  spec.mutable_data()->set_root("/data");
  const auto listed = [&spec](const char* file) {
    return ListedPath(spec, {file, "a.jpg", 0, {}}, "/data/runs/x/synthetic");
  };
  EXPECT_EQ(listed("/data/fer/./images/a.jpg"), "fer/images/a.jpg");
  EXPECT_EQ(listed("/elsewhere/a.jpg"), "/elsewhere/a.jpg");
  EXPECT_EQ(listed("/data/runs/x/synthetic/fer/a.jpg"), "/data/runs/x/synthetic/fer/a.jpg") << "rendered by the run";
  EXPECT_EQ(listed("/data/runs/y/a.jpg"), "runs/y/a.jpg");
}

TEST_F(FaceListTest, RenderedFacesAreListedByAbsolutePathThoughTheRunIsNamedByARelativeOne) {
  RunSpec spec;
  const std::filesystem::path here = std::filesystem::current_path();
  spec.mutable_data()->set_root(here.string());
  const std::string file = (here / "runs/syn/synthetic/fer/a.jpg").string();
  EXPECT_EQ(ListedPath(spec, {file, "a.jpg", 0, {}}, "runs/syn/synthetic"), file);
}

TEST_F(FaceListTest, RowsThatAreLeftOutAreLoggedBySourceAndReason) {
  for (const char* name : {"a.jpg", "b.jpg", "c.jpg"}) Picture(name);
  WriteText(root_ / "train.csv",
            "a.jpg,Neutral\nb.jpg,Happiness\nc.jpg,Fear\nc.jpg,Fear\nc.jpg,Other\nnone.jpg,Neutral\n");
  RunSpec spec;
  spec.add_classes("Neutral");
  spec.add_classes("Happiness");
  spec.mutable_data()->add_fer()->set_path(root_.string());
  ::testing::internal::CaptureStderr();
  const auto list = LoadFaces(spec, FaceSplit::kTrain);
  const std::string log = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(list.has_value()) << list.error().ToString();
  for (const std::string part : {"faces.left_out", "set=train", "rows=6", "left_out=4",
                                 "class-not-in-run: Fear 2, class-not-in-run: Other 1, image-missing 1"})
    EXPECT_NE(log.find(part), std::string::npos) << part << " in " << log;
  EXPECT_NE(log.find(root_.string()), std::string::npos) << log;
}

TEST_F(FaceListTest, AFormatIsGuessedFromItsFolders) {
  EXPECT_FALSE(GuessFormat(root_).has_value());
  Picture("x/1.jpg");
  EXPECT_EQ(*GuessFormat(root_), "fr-folder");
  WriteText(root_ / "train.csv", "x/1.jpg,Neutral\n");
  EXPECT_EQ(*GuessFormat(root_), "folder");
  WriteText(root_ / "EmoLabel" / "list_patition_label.txt", "");
  EXPECT_EQ(*GuessFormat(root_), "rafdb");
}

TEST_F(FaceListTest, ADataRootIsScannedFolderByFolder) {
  Picture("fer/images/1.jpg");
  Picture("fr/person/2.jpg");
  Picture("fr/person/3.jpg");
  EXPECT_EQ(*GuessFormat(root_), "fr-folder");
  WriteText(root_ / "fer" / "train.csv", "images/1.jpg,Neutral\n");
  ASSERT_EQ(*GuessFormat(root_), "root");
  const auto found = ScanData(root_, "root");
  ASSERT_TRUE(found.has_value()) << found.error().ToString();
  const Json& parts = found->at("parts");
  EXPECT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts.at("fer").at("format"), "folder");
  EXPECT_EQ(parts.at("fer").at("train").at("faces"), 1U);
  EXPECT_EQ(parts.at("fr").at("format"), "fr-folder");
  EXPECT_EQ(parts.at("fr").at("records"), 2U);
  std::filesystem::remove_all(root_ / "fer");
  EXPECT_EQ(ScanData(root_, "root").error().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace ferment::dataset
